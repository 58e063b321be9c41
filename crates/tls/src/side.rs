//! The two ends of a connection: what rustls has apart for clients and servers.

use std::fmt;
use std::ops::DerefMut;

use headpin_slab::SlabClass;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{UnbufferedConnectionCommon, UnbufferedStatus};
use rustls::{AlertDescription, CommonState, Error, ExtractedSecrets, HandshakeType, InvalidMessage, NamedGroup};

use crate::fault::{Fault, fault};

/// One end of a connection.
pub trait Side: sealed::Sealed + 'static {
    /// rustls's connection of this side.
    type Connection: DerefMut<Target = UnbufferedConnectionCommon<Self::Data>> + Unpin;
    /// rustls's mark of this side.
    type Data: Unpin + 'static;
    /// What becomes of messages that are not KeyUpdates, and what has come of one.
    type Messages: Unpin;
    /// What of the handshake is kept for whoever asks.
    type Facts: Default + Unpin;

    /// The slab that this side reads into.
    const CLASS: SlabClass;

    /// Whether it reads what the client writes.
    const IS_SERVER: bool;

    #[doc(hidden)]
    fn process<'c, 'i>(
        connection: &'c mut Self::Connection,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;

    #[doc(hidden)]
    fn into_kernel(connection: Self::Connection) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error>;

    /// Keeps what messages are handled with.
    #[doc(hidden)]
    fn messages(kernel: KernelConnection<Self::Data>) -> Self::Messages;

    /// Whether a message that is not a KeyUpdate has come in part.
    #[doc(hidden)]
    fn is_within(messages: &Self::Messages) -> bool;

    /// Takes the next part, which is not empty, of such a message; how many bytes of it that are.
    #[doc(hidden)]
    fn take(messages: &mut Self::Messages, part: &[u8]) -> Result<usize, Fault>;

    /// What has come of such a message.
    #[doc(hidden)]
    fn partial(messages: &Self::Messages) -> &[u8];

    /// The opposite of [`Self::partial`], in another process.
    #[doc(hidden)]
    fn resumed(partial: &[u8]) -> Result<Self::Messages, Error>;

    #[doc(hidden)]
    fn facts(state: &CommonState) -> Self::Facts;
}

mod sealed {
    #[allow(unnameable_types, reason = "only the two sides implement it")]
    pub trait Sealed {}
    impl Sealed for super::Server {}
    impl Sealed for super::Client {}
}

/// The server's end.
#[derive(Debug)]
pub enum Server {}

impl Side for Server {
    type Connection = UnbufferedServerConnection;
    type Data = ServerConnectionData;
    type Messages = ();
    type Facts = ();

    const CLASS: SlabClass = SlabClass::Tls;
    const IS_SERVER: bool = true;

    #[inline(always)]
    fn process<'c, 'i>(
        connection: &'c mut Self::Connection,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        connection.process_tls_records(incoming)
    }

    fn into_kernel(connection: Self::Connection) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error> {
        connection.dangerous_into_kernel_connection()
    }

    fn messages(_: KernelConnection<Self::Data>) {}

    fn is_within((): &()) -> bool {
        false
    }

    /// Nothing but a KeyUpdate has a place here: no client certificate was asked for.
    fn take((): &mut (), part: &[u8]) -> Result<usize, Fault> {
        Err(inappropriate(&[HandshakeType::KeyUpdate], part[0]))
    }

    fn partial((): &()) -> &[u8] {
        &[]
    }

    fn resumed(partial: &[u8]) -> Result<(), Error> {
        match partial {
            [] => Ok(()),
            _ => Err(Error::General("a message in part where none is taken".into())),
        }
    }

    fn facts(_: &CommonState) {}
}

/// The client's end.
#[derive(Debug)]
pub enum Client {}

/// The tickets that a server sends (RFC 8446 section 4.6.1).
pub struct Tickets {
    /// A NewSessionTicket that has not come whole, header and all.
    partial: Vec<u8>,
    /// Keeps tickets for the next connection to the server; without it, they are dropped.
    kernel: Option<Box<KernelConnection<ClientConnectionData>>>,
}

impl Tickets {
    /// Keeps none from now on.
    pub(crate) fn end(&mut self) {
        self.kernel = None;
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets")
            .field("partial", &self.partial.len())
            .finish_non_exhaustive()
    }
}

/// The largest NewSessionTicket that is taken: its fields allow for more, and no server sends that.
const MAX_TICKET: usize = 1 << 16;

impl Side for Client {
    type Connection = UnbufferedClientConnection;
    type Data = ClientConnectionData;
    type Messages = Tickets;
    /// The key exchange.
    type Facts = Option<NamedGroup>;

    const CLASS: SlabClass = SlabClass::Tcp;
    const IS_SERVER: bool = false;

    #[inline(always)]
    fn process<'c, 'i>(
        connection: &'c mut Self::Connection,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        connection.process_tls_records(incoming)
    }

    fn into_kernel(connection: Self::Connection) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error> {
        connection.dangerous_into_kernel_connection()
    }

    fn messages(kernel: KernelConnection<Self::Data>) -> Tickets {
        Tickets {
            partial: Vec::new(),
            kernel: Some(Box::new(kernel)),
        }
    }

    fn is_within(tickets: &Tickets) -> bool {
        !tickets.partial.is_empty()
    }

    fn take(tickets: &mut Tickets, part: &[u8]) -> Result<usize, Fault> {
        let message = &mut tickets.partial;
        /// Type, and length in three bytes (RFC 8446 section 4).
        const HEADER: usize = 4;
        let typ = *message.first().unwrap_or(&part[0]);
        if HandshakeType::from(typ) != HandshakeType::NewSessionTicket {
            let expected = [HandshakeType::KeyUpdate, HandshakeType::NewSessionTicket];
            return Err(inappropriate(&expected, typ));
        }
        let mut taken = 0;
        let mut fill = |message: &mut Vec<u8>, len: usize| {
            let missing = len.saturating_sub(message.len()).min(part.len() - taken);
            message.extend_from_slice(&part[taken..taken + missing]);
            taken += missing;
            message.len() >= len
        };
        if !fill(message, HEADER) {
            return Ok(taken);
        }
        let len = message[1..HEADER]
            .iter()
            .fold(0, |len, byte| len << 8 | usize::from(*byte));
        if len > MAX_TICKET {
            let error = InvalidMessage::HandshakePayloadTooLarge;
            return Err(fault(AlertDescription::DecodeError, error));
        }
        if fill(message, HEADER + len) {
            let ticket = std::mem::take(message);
            if let Some(kernel) = &mut tickets.kernel {
                let kept = kernel.handle_new_session_ticket(&ticket[HEADER..]);
                kept.map_err(|error| fault(AlertDescription::DecodeError, error))?;
            }
        }
        Ok(taken)
    }

    fn partial(tickets: &Tickets) -> &[u8] {
        &tickets.partial
    }

    /// Of a ticket that comes in part only the length matters: none is kept.
    fn resumed(partial: &[u8]) -> Result<Tickets, Error> {
        let begins = partial.first().map(|typ| HandshakeType::from(*typ));
        if partial.len() > MAX_TICKET || begins.is_some_and(|typ| typ != HandshakeType::NewSessionTicket) {
            return Err(Error::General("a message in part that is no ticket".into()));
        }
        Ok(Tickets {
            partial: partial.into(),
            kernel: None,
        })
    }

    fn facts(state: &CommonState) -> Option<NamedGroup> {
        state.negotiated_key_exchange_group().map(|group| group.name())
    }
}

fn inappropriate(expected: &[HandshakeType], got: u8) -> Fault {
    let error = Error::InappropriateHandshakeMessage {
        expect_types: expected.to_vec(),
        got_type: HandshakeType::from(got),
    };
    fault(AlertDescription::UnexpectedMessage, error)
}
