//! The laboratory: what loads a proxy, what stands behind it, and experiments on the proxy between the two.

pub mod cli;
pub mod client;
pub mod compare;
pub mod drive;
pub mod experiment;
pub mod fit;
pub mod load;
pub mod machine;
pub mod model;
pub mod observe;
pub mod pattern;
pub mod random;
pub mod report;
pub mod result;
pub mod scenario;
pub mod spread;
pub mod stored;
pub mod terminal;
pub mod traffic;
pub mod units;
pub mod upstream;

mod account;
pub(crate) mod child;
mod children;
mod folder;
mod plot;
mod verdict;
mod words;
