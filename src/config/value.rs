//! The kinds of values: how each is read from a section, what is accepted, and what stands in for a missing or faulty
//! one.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::byte_size::ByteSize;
use super::human_duration::HumanDuration;
use super::section::Section;

/// The word that switches an optional duration off.
pub(super) const OFF: &str = "off";

/// The word that leaves a count to the machine.
pub(super) const AUTO: &str = "auto";

/// The shortest duration that is one, for those that make no sense at zero.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// The longest duration that is taken: more is a slip, and deadlines must not overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Section<'_> {
    /// A duration within `range`.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.convert(key, |value| duration_in(value, &range)).unwrap_or(default)
    }

    /// A duration within `range`, or `"off"`.
    pub(super) fn duration_or_off(
        &mut self,
        key: &'static str,
        default: Option<Duration>,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let read = self.convert(key, |value| match value.as_str() {
            Some(OFF) => Ok(None),
            _ => duration_in(value, &range)
                .map(Some)
                .map_err(|accepted| format!("{accepted}, or \"{OFF}\"")),
        });
        read.unwrap_or(default)
    }

    /// A size within `range`.
    pub(super) fn size(&mut self, key: &'static str, default: ByteSize, range: RangeInclusive<ByteSize>) -> ByteSize {
        let read = self.convert(key, |value| {
            let size = match value {
                DeValue::String(text) => text.parse().ok(),
                DeValue::Integer(_) => integer(value).map(ByteSize::new),
                _ => None,
            };
            size.filter(|size| range.contains(size)).ok_or_else(|| {
                format!(
                    "a size from {} to {} such as \"{default}\", or its bytes",
                    range.start(),
                    range.end()
                )
            })
        });
        read.unwrap_or(default)
    }

    /// A whole number within `range`.
    pub(super) fn count(&mut self, key: &'static str, default: usize, range: RangeInclusive<usize>) -> usize {
        self.convert(key, |value| count_in(value, &range)).unwrap_or(default)
    }

    /// A whole number from 1 to `most`.
    pub(super) fn positive(&mut self, key: &'static str, default: NonZeroUsize, most: usize) -> NonZeroUsize {
        self.convert(key, |value| positive_up_to(value, most))
            .unwrap_or(default)
    }

    /// A whole number within `range`; `"auto"` and a missing key are `None`, and so is 0 where the range has it.
    pub(super) fn count_or_auto(&mut self, key: &'static str, range: RangeInclusive<usize>) -> Option<NonZeroUsize> {
        let read = self.convert(key, |value| match value.as_str() {
            Some(AUTO) => Ok(None),
            _ => count_in(value, &range)
                .map(NonZeroUsize::new)
                .map_err(|accepted| format!("{accepted}, or \"{AUTO}\"")),
        });
        read.flatten()
    }

    /// One of the `choices`, by its name.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        default: T,
        choices: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> T {
        let read = self.convert(key, |value| {
            let chosen = choices
                .iter()
                .copied()
                .find(|choice| value.as_str() == Some(name(*choice)));
            chosen.ok_or_else(|| {
                let names: Vec<_> = choices.iter().map(|choice| format!("\"{}\"", name(*choice))).collect();
                names.join(" or ")
            })
        });
        read.unwrap_or(default)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.convert(key, |value| value.as_bool().ok_or_else(|| "true or false".to_owned()))
            .unwrap_or(default)
    }

    /// An IP address with a port. Names are refused: what they resolve to is decided elsewhere and may change.
    pub(super) fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        let read = self.convert(key, |value| {
            let address = value.as_str().and_then(|text| text.parse().ok());
            address.ok_or_else(|| {
                format!(
                    "an IP address and port such as \"{default}\" or \"[::1]:{}\"",
                    default.port()
                )
            })
        });
        read.unwrap_or(default)
    }

    /// Text with something in it.
    pub(super) fn text(&mut self, key: &'static str, default: &str) -> String {
        let read = self.convert(key, |value| {
            let text = value.as_str().filter(|text| !text.trim().is_empty());
            text.map(str::to_owned)
                .ok_or_else(|| format!("text that is not empty, such as \"{default}\""))
        });
        read.unwrap_or_else(|| default.to_owned())
    }
}

fn duration_in(value: &DeValue<'_>, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    const EXAMPLES: &str = r#"such as "500ms", "10s", "5m", "1h""#;
    match value.as_str().map(str::parse) {
        Some(Ok(HumanDuration(duration))) if range.contains(&duration) => Ok(duration),
        Some(Ok(HumanDuration(_))) => {
            let (least, most) = (HumanDuration(*range.start()), HumanDuration(*range.end()));
            Err(format!("a duration from {least} to {most}, {EXAMPLES}"))
        }
        _ => Err(format!("a duration {EXAMPLES}")),
    }
}

fn positive_up_to(value: &DeValue<'_>, most: usize) -> Result<NonZeroUsize, String> {
    let count = count_in(value, &(1..=most))?;
    NonZeroUsize::new(count).ok_or_else(|| "a whole number above 0".to_owned())
}

fn count_in(value: &DeValue<'_>, range: &RangeInclusive<usize>) -> Result<usize, String> {
    let count = integer(value).filter(|count| range.contains(count));
    count.ok_or_else(|| format!("a whole number from {} to {}", range.start(), range.end()))
}

fn integer(value: &DeValue<'_>) -> Option<usize> {
    let integer = value.as_integer()?;
    usize::from_str_radix(integer.as_str(), integer.radix()).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, ConfigError, TlsVersion};

    const REQUIRED: &str = "tls.certificates = [{ cert = 'c', key = 'k' }]\nupstream.servers = ['http://app']\n";

    fn parse(line: &str) -> Result<Config, ConfigError> {
        Config::parse(&format!("{REQUIRED}{line}"), Path::new("headpin.toml"))
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let config = parse("tunnel = { idle_timeout = \"off\", relay_buffer = 8192 }").unwrap();
        assert_eq!(
            (config.tunnel.idle_timeout, config.tunnel.relay_buffer),
            (None, ByteSize::kib(8))
        );
        let config = parse("server = { workers = 0x10, max_connections = 1_000, listen = \"[::]:443\" }").unwrap();
        assert_eq!(
            (
                config.server.workers.get(),
                config.server.max_connections.map(NonZeroUsize::get)
            ),
            (16, Some(1000))
        );
        assert_eq!(config.server.listen.to_string(), "[::]:443");
        assert_eq!(
            parse("server.workers = 0").unwrap(),
            parse("server.workers = \"auto\"").unwrap()
        );
        assert_eq!(
            parse("tls.min_version = \"1.3\"").unwrap().tls.min_version,
            TlsVersion::V1_3
        );
        assert!(!parse("log.access = false").unwrap().log.access);
        assert_eq!(
            parse("upstream.down_for = \"0s\"").unwrap().upstream.down_for,
            Duration::ZERO
        );
    }

    #[test]
    fn every_refused_value_is_told_with_what_is_accepted() {
        let examples = r#"such as "500ms", "10s", "5m", "1h""#;
        let cases = [
            ("head_policy = \"pni\"", r#""copy" or "pin""#.to_owned()),
            ("http.header_timeout = \"10 bananas\"", format!("a duration {examples}")),
            ("http.header_timeout = 10", format!("a duration {examples}")),
            (
                "http.header_timeout = \"0s\"",
                format!("a duration from 1ms to 365d, {examples}"),
            ),
            (
                "http.header_timeout = \"366d\"",
                format!("a duration from 1ms to 365d, {examples}"),
            ),
            ("http.header_timeout = \"off\"", format!("a duration {examples}")),
            (
                "tunnel.idle_timeout = false",
                format!("a duration {examples}, or \"off\""),
            ),
            (
                "server.keepalive = \"500ms\"",
                format!("a duration from 1s to 9h6m7s, {examples}, or \"off\""),
            ),
            (
                "tunnel.relay_buffer = \"1KiB\"",
                r#"a size from 4KiB to 1MiB such as "64KiB", or its bytes"#.to_owned(),
            ),
            (
                "slabs.tls_capacity = -1",
                r#"a size from 64KiB to 1GiB such as "10MiB", or its bytes"#.to_owned(),
            ),
            (
                "http.max_requests = 0",
                "a whole number from 1 to 1073741824".to_owned(),
            ),
            ("slabs.spares = 65", "a whole number from 0 to 64".to_owned()),
            (
                "server.workers = 1025",
                r#"a whole number from 0 to 1024, or "auto""#.to_owned(),
            ),
            (
                "server.max_connections = 0",
                r#"a whole number from 1 to 1073741824, or "auto""#.to_owned(),
            ),
            ("tls.min_version = 1.2", r#""1.2" or "1.3""#.to_owned()),
            ("log.access = \"yes\"", "true or false".to_owned()),
            (
                "log.filter = \" \"",
                r#"text that is not empty, such as "info""#.to_owned(),
            ),
            (
                "admin.listen = \"localhost:9900\"",
                r#"an IP address and port such as "127.0.0.1:9900" or "[::1]:9900""#.to_owned(),
            ),
            (
                "admin.hosts = \"headpin\"",
                r#"a list such as ["headpin.internal", "headpin.internal:9900"]"#.to_owned(),
            ),
            (
                "upstream.ca = \"\"",
                "the path of a file, relative to this file's folder or absolute".to_owned(),
            ),
        ];
        for (line, accepted) in cases {
            let told = parse(line).expect_err(line).to_string();
            assert_eq!(told, format!("headpin.toml:3: {line}: accepted is {accepted}"));
        }
    }
}
