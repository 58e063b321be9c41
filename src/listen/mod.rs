//! Where clients connect: the accept loop, and what becomes of a backlog in a drain.

mod accept;

pub use accept::accept;
