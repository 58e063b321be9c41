//! Settings by declaration.
//!
//! [`settings!`] states each key once: its type, what it accepts, its default, when a change takes effect, and the sentence
//! that explains it. Everything else follows from that:
//!
//! ```text
//!                           ┌─► the struct, its docs and its defaults
//!  settings! { ... } ───────┼─► reading: all faults at once, each with file, line, key, value and remedy
//!   kinds of values         ├─► printing as TOML
//!   (kind/)                 ├─► which changes wait for a restart
//!                           └─► Description ─► sample file, reference page, JSON Schema (show/)
//! ```
//!
//! # What was weighed
//!
//! - **Reading**: serde's derive stops at the first fault and knows neither the line nor the remedy; `serde_path_to_error` adds
//!   the path of that one fault. `confique` makes a sample file from a derive, and stops at the first fault as well. `figment`
//!   keeps where a value came from, and not on which line. `toml-span` has spans, as `toml` itself has by now. So values are
//!   read from `toml`'s spanned tables by hand-written kinds.
//! - **JSON Schema**: `schemars` derives it from serde's types, which have no ranges in human units. The kinds know theirs.
//! - **Human units**: `humantime` reads "1m1h" and years, and prints with spaces and months; `jiff` is a calendar;
//!   `duration-str` does sums; `bytesize` prints fractions, and `parse-size` does not print at all. What is printed here must
//!   read back equal, and a slip must be refused, so [`HumanDuration`] and [`ByteSize`] are 60 lines each.

mod byte_size;
mod declare;
mod describe;
mod error;
mod human_duration;
pub mod kind;
mod line;
mod obstacle;
mod section;
pub mod show;
mod source;

pub use byte_size::{ByteSize, InvalidByteSize};
pub use declare::Settings;
#[doc(hidden)]
pub use declare::{dotted, key_waiting_for_start};
pub use describe::{Acts, Below, Description, Key, Presence};
#[doc(hidden)]
pub use describe::{describe_key, lines};
pub use error::{Fault, SettingsError};
pub use human_duration::{HumanDuration, InvalidDuration};
pub use kind::Kind;
pub use obstacle::{remedy, write_remedy};
pub use section::Section;
pub use source::{Entry, Layer, NamedFiles, Sources, Variants, read};
