//! What a declaration is shown as.

mod reference;
mod sample;
mod schema;
mod toml;

pub use self::reference::reference;
pub use self::sample::sample;
pub(crate) use self::schema::object;
pub use self::schema::schema;
pub use self::toml::{Printer, quote, quote_path, to_toml};
pub(crate) use self::toml::{inline, quote_key};
