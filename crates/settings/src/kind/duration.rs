//! Durations in human units.

use std::ops::RangeInclusive;
use std::time;

use serde_json::{Value, json};

use super::{Kind, convert};
use crate::show::quote;
use crate::{Entry, HumanDuration};

/// The shortest duration that is one, for those that make no sense at zero.
pub const SHORTEST: time::Duration = time::Duration::from_millis(1);

/// The longest duration that is taken: more is a slip, and deadlines must not overflow.
pub const LONGEST: time::Duration = time::Duration::from_secs(365 * 24 * 60 * 60);

/// See [`duration`].
#[derive(Debug, Clone)]
pub struct Duration(RangeInclusive<time::Duration>);

/// A duration within `range`, such as `"10s"`.
#[must_use]
pub fn duration(range: RangeInclusive<time::Duration>) -> Duration {
    Duration(range)
}

impl Kind for Duration {
    type Value = time::Duration;

    fn read(&self, entry: Entry<'_>) -> Option<time::Duration> {
        let read = |entry: &Entry<'_>| {
            let HumanDuration(duration) = entry.value.as_str()?.parse().ok()?;
            self.0.contains(&duration).then_some(duration)
        };
        convert(entry, read, || self.accepted())
    }

    fn print(&self, value: &time::Duration) -> Option<String> {
        Some(quote(&HumanDuration(*value).to_string()))
    }

    fn accepted(&self) -> String {
        let (least, most) = (HumanDuration(*self.0.start()), HumanDuration(*self.0.end()));
        format!(r#"a duration from {least} to {most}, such as "500ms", "10s", "5m", "1h""#)
    }

    fn schema(&self) -> Value {
        json!({ "type": "string", "minLength": 2, "pattern": r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$" })
    }
}
