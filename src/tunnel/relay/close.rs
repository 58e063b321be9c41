//! The Close frame that this proxy sends.

use crate::observe::labels::Direction;

/// Close with code 1001, going away (RFC 6455 section 7.4.1), as a server sends it.
const CLOSE_BY_SERVER: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];
/// The same as a client sends it, masked (section 5.3). The payload is no secret, so the mask need not be random.
const CLOSE_BY_CLIENT: [u8; 8] = [0x88, 0x82, b'h', b'p', b'i', b'n', b'h' ^ 0x03, b'p' ^ 0xe9];

/// What became of a Close that this proxy is to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// None is asked for.
    No,
    /// It goes out at the next frame boundary.
    Wanted,
    /// It is out, or the peer's own was: no frame may follow it, what still comes is read and dropped.
    Sent,
}

/// Close 1001 as the side behind this proxy sends it in `direction`.
pub(super) fn frame(direction: Direction) -> &'static [u8] {
    match direction {
        Direction::ToUpstream => &CLOSE_BY_CLIENT,
        Direction::ToDownstream => &CLOSE_BY_SERVER,
    }
}
