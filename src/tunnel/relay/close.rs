//! The Close frame that this proxy sends.

use crate::handed::CloseState;
use crate::observe::labels::{CloseReason, Direction};

/// Why, as the peers are told (RFC 6455 section 7.4.1, and the registry of section 11.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// 1001, going away.
    GoingAway,
    /// 1012, service restart: who connects again comes to another server.
    ServiceRestart,
}

impl CloseCode {
    /// As in a Close frame.
    pub(super) fn number(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::ServiceRestart => 1012,
        }
    }

    /// The code of `number`, if it is one of these.
    fn of_number(number: u16) -> Option<Self> {
        [Self::GoingAway, Self::ServiceRestart]
            .into_iter()
            .find(|code| code.number() == number)
    }

    /// The code for a tunnel that is closed for `reason`.
    #[must_use]
    pub(crate) fn of(reason: CloseReason) -> Self {
        match reason {
            CloseReason::ServerGone => Self::ServiceRestart,
            _ => Self::GoingAway,
        }
    }
}

/// What became of a Close that this proxy is to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// None is asked for.
    No,
    /// It goes out at the next frame boundary.
    Wanted(CloseCode),
    /// It is out, or the peer's own was: no frame may follow it, what still comes is read and dropped.
    Sent,
}

impl From<Close> for CloseState {
    fn from(close: Close) -> Self {
        match close {
            Close::No => Self::No,
            Close::Wanted(code) => Self::Wanted(code.number()),
            Close::Sent => Self::Sent,
        }
    }
}

impl Close {
    /// The opposite. Of a code that this version does not know, its own.
    pub(super) fn resume(state: CloseState) -> Self {
        match state {
            CloseState::No => Self::No,
            CloseState::Wanted(number) => Self::Wanted(CloseCode::of_number(number).unwrap_or(CloseCode::GoingAway)),
            CloseState::Sent => Self::Sent,
        }
    }
}

/// A Close as the side behind this proxy sends it in `direction`: as a client, masked (section 5.3). The payload is no secret, so
/// the mask need not be random.
pub(super) fn frame(direction: Direction, code: CloseCode) -> &'static [u8] {
    match (direction, code) {
        (Direction::ToUpstream, CloseCode::GoingAway) => {
            &[0x88, 0x82, b'h', b'p', b'i', b'n', b'h' ^ 0x03, b'p' ^ 0xe9]
        }
        (Direction::ToUpstream, CloseCode::ServiceRestart) => {
            &[0x88, 0x82, b'h', b'p', b'i', b'n', b'h' ^ 0x03, b'p' ^ 0xf4]
        }
        (Direction::ToDownstream, CloseCode::GoingAway) => &[0x88, 0x02, 0x03, 0xe9],
        (Direction::ToDownstream, CloseCode::ServiceRestart) => &[0x88, 0x02, 0x03, 0xf4],
    }
}
