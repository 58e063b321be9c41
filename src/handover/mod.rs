//! A restart that nobody notices: a running headpin hands everything over to its successor.
//!
//! ```text
//!  predecessor                                    successor (a new process, its config is checked)
//!    hello: same user? same program?      ◄──────   hello: the versions of the format that it knows
//!    listening sockets                    ──────►   workers are started, nothing is accepted
//!    accepts nothing more                 ◄──────   ready
//!    go                                   ──────►   accepts: what is in a backlog waits for it there
//!    tunnels and idle connections, a few at a time:
//!      sockets and all of their state     ──────►   made ready to go on
//!      they are its own now               ◄──────   taken; goes on with them
//!    done                                 ──────►
//!    requests in progress end here; connections follow when they are idle
//!    exits without a word on any wire
//! ```
//!
//! A connection is the successor's from the moment on that it has said "taken". If one of the two breaks before that, the
//! predecessor goes on with it; a predecessor that gives up first makes sure that nothing can be said any more. So each
//! connection has one owner at any time, and whoever dies takes with it what was its own.
//!
//! * [`Door`]: where a successor comes to.
//! * [`Heir`]: what the predecessor does.
//! * [`Predecessor`]: what the successor does.

mod channel;
mod door;
mod give;
mod message;
mod spawn;
mod take;

pub use channel::{Channel, ChannelError, Received};
pub use door::{Address, Caller, Door, DoorError, HiddenDoor};
pub use give::{Estate, GiveError, Given, Heir};
pub use message::{Answer, BROKE, Hello, Summary, TLS_1_2, Wants};
pub use spawn::{SpawnError, Started, Successor, VARIABLE, is_launcher, predecessor};
pub use take::{Inherited, Predecessor, TakeError};
