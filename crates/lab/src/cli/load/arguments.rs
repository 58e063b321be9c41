//! What can be typed after `headpin load`.

use std::time::Duration;

use clap::Subcommand;

use super::options::{Common, Extent, Hold, Transfer};
use crate::cli::values::parse_rate;
use crate::load::{Greet, Resume, Until, Work};
use crate::units::{parse_bytes, parse_duration};

#[derive(Clone, Debug, Subcommand)]
pub(super) enum LoadWork {
    /// Open tunnels and hold them; count what is pushed to them
    Idle {
        #[command(flatten)]
        common: Common,
        /// Tunnels
        #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        connections: u64,
        #[command(flatten)]
        hold: Hold,
    },
    /// Send messages that come back
    Echo {
        #[command(flatten)]
        common: Common,
        /// Tunnels
        #[arg(long, short = 'n', value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
        connections: u64,
        /// Bytes of each message
        #[arg(long, value_name = "BYTES", default_value = "128", value_parser = parse_bytes)]
        size: u64,
        /// Messages that each tunnel has under way
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        in_flight: u64,
        /// Put each message in a TLS record of its own, as browsers do
        #[arg(long)]
        own_records: bool,
        /// Messages a second, of all tunnels together: each is sent at its time, whether or not earlier ones have come back
        #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate, allow_negative_numbers = true, conflicts_with = "in_flight")]
        message_rate: Option<f64>,
        #[command(flatten)]
        extent: Extent,
    },
    /// Connect, upgrade, echo one message, close, and again; --count counts connections in all
    Churn {
        #[command(flatten)]
        common: Common,
        /// Connections at once
        #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..))]
        parallel: u64,
        /// Bytes of the message
        #[arg(long, value_name = "BYTES", default_value = "128", value_parser = parse_bytes)]
        size: u64,
        /// Whether TLS sessions are resumed
        #[arg(long, value_enum, default_value_t)]
        resume: Resume,
        #[command(flatten)]
        extent: Extent,
    },
    /// Send bodies and check that every byte arrived
    Upload {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        transfer: Transfer,
        #[command(flatten)]
        extent: Extent,
    },
    /// Receive bodies and verify them
    Download {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        transfer: Transfer,
        #[command(flatten)]
        extent: Extent,
    },
    /// Ask for a large body and read it slowly
    Slow {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        transfer: Transfer,
        /// Bytes that each connection reads in a second; 0 reads nothing
        #[arg(long, value_name = "BYTES", default_value = "16KiB", value_parser = parse_bytes)]
        read_rate: u64,
        /// The kernel's receive buffer of each connection
        #[arg(long, value_name = "BYTES", default_value = "64KiB", value_parser = parse_bytes)]
        receive_buffer: u64,
        /// How long
        #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
        duration: Duration,
    },
    /// Send bytes in the same write as the upgrade request, verify that they come back once and in order, hold the tunnels
    Head {
        #[command(flatten)]
        common: Common,
        /// Tunnels
        #[arg(long, short = 'n', value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        connections: u64,
        /// Bytes of the message behind the request
        #[arg(long, value_name = "BYTES", default_value = "64", value_parser = parse_bytes)]
        size: u64,
        /// Send nothing behind the request; of use with --greet
        #[arg(long, conflicts_with = "size")]
        no_head: bool,
        /// Expect the origin's greeting, in one write with its 101: its usual text, or so many bytes
        #[arg(long, value_name = "BYTES", num_args = 0..=1, require_equals = true, value_parser = parse_bytes)]
        greet: Option<Option<u64>>,
        #[command(flatten)]
        hold: Hold,
    },
}

impl LoadWork {
    /// The options that all kinds share, the work, and whether standard input ends it.
    pub(super) fn into_parts(self) -> anyhow::Result<(Common, Work, bool)> {
        Ok(match self {
            Self::Idle {
                common,
                connections,
                hold,
            } => (
                common,
                Work::Idle {
                    connections,
                    until: hold.until(),
                },
                hold.until_stdin_closes,
            ),
            Self::Echo {
                common,
                connections,
                size,
                in_flight,
                own_records,
                message_rate,
                extent,
            } => {
                let size = usize::try_from(size)?;
                (
                    common,
                    Work::Echo {
                        connections,
                        size,
                        in_flight,
                        own_records,
                        rate: message_rate,
                        until: extent.until(),
                    },
                    false,
                )
            }
            Self::Churn {
                common,
                parallel,
                size,
                resume,
                extent,
            } => {
                let size = usize::try_from(size)?;
                (
                    common,
                    Work::Churn {
                        parallel,
                        size,
                        resume,
                        until: extent.until(),
                    },
                    false,
                )
            }
            Self::Upload {
                common,
                transfer:
                    Transfer {
                        connections,
                        size,
                        over,
                    },
                extent,
            } => (
                common,
                Work::Upload {
                    connections,
                    size,
                    over,
                    until: extent.until(),
                },
                false,
            ),
            Self::Download {
                common,
                transfer:
                    Transfer {
                        connections,
                        size,
                        over,
                    },
                extent,
            } => (
                common,
                Work::Download {
                    connections,
                    size,
                    over,
                    until: extent.until(),
                },
                false,
            ),
            Self::Slow {
                common,
                transfer,
                read_rate,
                receive_buffer,
                duration,
            } => {
                let Transfer {
                    connections,
                    size,
                    over,
                } = transfer;
                let receive_buffer = u32::try_from(receive_buffer)?;
                let until = Until::Elapsed(duration);
                (
                    common,
                    Work::Slow {
                        connections,
                        size,
                        read_rate,
                        receive_buffer,
                        over,
                        until,
                    },
                    false,
                )
            }
            Self::Head {
                common,
                connections,
                size,
                no_head,
                greet,
                hold,
            } => {
                let size = (!no_head).then(|| usize::try_from(size)).transpose()?;
                let greet = match greet {
                    None => Greet::None,
                    Some(None) => Greet::Text,
                    Some(Some(bytes)) => Greet::Bytes(usize::try_from(bytes)?),
                };
                (
                    common,
                    Work::Head {
                        connections,
                        size,
                        greet,
                        until: hold.until(),
                    },
                    hold.until_stdin_closes,
                )
            }
        })
    }
}
