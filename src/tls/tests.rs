//! The stream against a rustls client, in one thread and without sockets: each test says what the wire does when.

mod closing;
mod failures;
mod fixture;
mod forge;
mod handover;
mod hostile;
mod key_updates;
mod matrix;
mod pair;
mod random;
mod resumption;
mod rfc8448;
mod wire;
