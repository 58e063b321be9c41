//! Tunnels: what lives after an upgrade, over any two streams.

mod downstream;
mod frames;
mod relay;
mod task;

pub use downstream::Downstream;
pub use frames::{Content, Followed, FrameFollower};
pub use relay::Relay;
pub use task::{Half, NotATunnel, Tunnel};
