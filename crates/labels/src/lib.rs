//! Closed enums whose variants have one text each.
//!
//! A label of a metric must never carry anything that a peer chooses, or its cardinality is theirs to choose too. So each
//! label is an enum, with the text that metrics, logs, configs and JSON show for it: [`labels!`] makes one.

#[doc(hidden)]
pub use serde;

/// A text that names no variant of the label it was parsed as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown value, accepted is one of: {}", .accepted.join(", "))]
pub struct UnknownLabel {
    /// Every text that would have been understood.
    pub accepted: &'static [&'static str],
}

/// What every label enum offers to code that works with any of them.
pub trait Label: Copy + 'static {
    /// Every variant, in the order of declaration.
    const VARIANTS: &'static [Self];

    /// Place in [`Self::VARIANTS`].
    fn index(self) -> usize;

    /// The text used as label value.
    fn text(self) -> &'static str;
}

/// Declares label enums: each with `ALL`, `as_str`, `Display`, `FromStr`, `serde::Serialize` and [`Label`].
///
/// ```
/// headpin_labels::labels! {
///     /// Which way something goes.
///     Way {
///         /// There.
///         There = "there",
///         /// Back.
///         Back = "back",
///     }
/// }
/// assert_eq!(Way::Back.to_string(), "back");
/// assert_eq!("there".parse(), Ok(Way::There));
/// assert_eq!(Way::ALL.len(), 2);
/// ```
#[macro_export]
macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every variant, in the order of declaration.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// The text used as label value, in logs and in config.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::Label for $name {
            const VARIANTS: &'static [Self] = &Self::ALL;

            fn index(self) -> usize {
                self as usize
            }

            fn text(self) -> &'static str {
                self.as_str()
            }
        }

        impl ::core::str::FromStr for $name {
            type Err = $crate::UnknownLabel;

            fn from_str(text: &str) -> Result<Self, $crate::UnknownLabel> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::UnknownLabel { accepted: &[$($text),+] }),
                }
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    )+};
}

#[cfg(test)]
#[allow(unreachable_pub, reason = "the macro makes what others use")]
mod tests {
    labels! {
        /// Which way something goes.
        Way {
            /// There.
            There = "there",
            /// Back.
            Back = "back",
        }
    }

    #[test]
    fn every_label_parses_back_from_its_text() {
        for way in Way::ALL {
            assert_eq!(way.as_str().parse(), Ok(way));
        }
        let unknown = "forth".parse::<Way>().expect_err("no such way");
        assert_eq!(unknown.to_string(), "unknown value, accepted is one of: there, back");
    }
}
