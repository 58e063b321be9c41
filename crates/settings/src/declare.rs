//! The declaration of a section.

use std::fmt;

use crate::describe::{Acts, Description};
use crate::kind::Kind;
use crate::section::Section;
use crate::show::Printer;

/// What [`settings!`](crate::settings) makes of a struct.
pub trait Settings: Clone + PartialEq + fmt::Debug {
    /// Takes the keys that this declares out of `section`. A missing or faulty one is a fault where it must be, and has its
    /// default then, so that reading goes on to the end.
    fn read_keys(section: &mut Section<'_>) -> Self;

    /// Writes all keys, and sections below, whose path begins with `path`.
    fn print(&self, path: &str, printer: &mut Printer);

    /// Adds to `keys` the dotted ones that differ in `new` and only act at start.
    fn waiting_for_start(&self, new: &Self, path: &str, keys: &mut Vec<String>);

    /// What is declared.
    fn describe() -> Description;

    /// Reads a whole section: what is left over is unknown.
    #[must_use]
    fn read(mut section: Section<'_>) -> Self {
        let read = Self::read_keys(&mut section);
        section.finish();
        read
    }
}

/// `key` below `path`, which may be empty.
#[doc(hidden)]
#[must_use]
pub fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Adds `path` to `keys` if the value of that key differs and only acts at start, and those of the tables in it that do.
#[doc(hidden)]
pub fn key_waiting_for_start<K: Kind>(
    path: String,
    kind: &K,
    old: &K::Value,
    new: &K::Value,
    acts: Acts,
    keys: &mut Vec<String>,
) {
    let mut within = Vec::new();
    let differs = kind.compare(old, new, &path, &mut within);
    if differs && acts == Acts::AtStart {
        keys.push(path);
    }
    keys.append(&mut within);
}

/// Declares a section of settings: a struct, and for each key its sentence, type, kind, what stands for it where it is left
/// out, and when it acts. Sections below it follow in a block of their own.
///
/// A key is one of
/// - `default(value)`: it may be left out, and then has that value;
/// - `left_out(example)`: it may be left out, and then is `Default::default()`; the example is TOML;
/// - `required(example)`: it must be given.
///
/// A section that a file may do without, though keys in it are required, is declared as `name: Type = if_there`.
///
/// ```
/// use headpin_settings::{kind, settings};
///
/// settings! {
///     /// The listener.
///     pub struct Server {
///         /// Threads that serve connections.
///         threads: usize = kind::count(1..=64), default(2), at_start;
///         /// What the log calls it.
///         name: String = kind::text("front"), required(r#""front""#), at_reload;
///     }
/// }
/// assert_eq!(Server::default().threads, 2);
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[doc = $about:literal])*
        $visibility:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $key:ident: $type:ty = $kind:expr, $presence:ident($absent:expr), $acts:ident;
            )*
        }
        $(sections {
            $(
                $(#[doc = $section_doc:literal])*
                $section:ident: $section_type:ty $(= $if_there:ident)?,
            )*
        })?
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq)]
        $visibility struct $name {
            $(
                $(#[doc = $doc])*
                pub $key: $type,
            )*
            $($(
                $(#[doc = $section_doc])*
                pub $section: $section_type,
            )*)?
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self {
                    $($key: $crate::settings!(@value $presence($absent)),)*
                    $($($section: ::core::default::Default::default(),)*)?
                }
            }
        }

        impl $crate::Settings for $name {
            fn read_keys(section: &mut $crate::Section<'_>) -> Self {
                Self {
                    $(
                        $key: section.key(
                            stringify!($key),
                            &$kind,
                            $crate::settings!(@value $presence($absent)),
                            $crate::settings!(@presence $presence($absent)),
                        ),
                    )*
                    $($($section: <$section_type as $crate::Settings>::read(
                        $crate::settings!(@section section, $section $($if_there)?)
                    ),)*)?
                }
            }

            fn print(&self, path: &str, printer: &mut $crate::show::Printer) {
                $(printer.key(stringify!($key), $crate::Kind::print(&$kind, &self.$key));)*
                $($crate::Kind::print_tables(&$kind, &$crate::dotted(path, stringify!($key)), &self.$key, printer);)*
                $($(
                    let below = $crate::dotted(path, stringify!($section));
                    printer.section(&below);
                    $crate::Settings::print(&self.$section, &below, printer);
                )*)?
                let _ = path;
            }

            fn waiting_for_start(&self, new: &Self, path: &str, keys: &mut ::std::vec::Vec<::std::string::String>) {
                $(
                    $crate::key_waiting_for_start(
                        $crate::dotted(path, stringify!($key)),
                        &$kind,
                        &self.$key,
                        &new.$key,
                        $crate::settings!(@acts $acts),
                        keys,
                    );
                )*
                $($(
                    let below = $crate::dotted(path, stringify!($section));
                    $crate::Settings::waiting_for_start(&self.$section, &new.$section, &below, keys);
                )*)?
                let _ = (new, path, keys);
            }

            fn describe() -> $crate::Description {
                $crate::Description {
                    about: $crate::lines(&[$($about),*]),
                    keys: ::std::vec![$(
                        $crate::describe_key(
                            stringify!($key),
                            &[$($doc),*],
                            &$kind,
                            &$crate::settings!(@value $presence($absent)),
                            $crate::settings!(@presence $presence($absent)),
                            $crate::settings!(@acts $acts),
                        ),
                    )*],
                    sections: ::std::vec![$($(
                        $crate::Below {
                            name: stringify!($section),
                            is_required: $crate::settings!(@is_required $($if_there)?),
                            holds: <$section_type as $crate::Settings>::describe(),
                        },
                    )*)?],
                }
            }
        }
    };
    (@value default($value:expr)) => { $value };
    (@value left_out($example:expr)) => { ::core::default::Default::default() };
    (@value required($example:expr)) => { ::core::default::Default::default() };
    (@presence default($value:expr)) => { $crate::Presence::Default };
    (@presence left_out($example:expr)) => { $crate::Presence::LeftOut($example) };
    (@presence required($example:expr)) => { $crate::Presence::Required($example) };
    (@section $from:ident, $section:ident) => { $from.section(stringify!($section)) };
    (@section $from:ident, $section:ident if_there) => { $from.section_if_there(stringify!($section)) };
    (@is_required) => { true };
    (@is_required if_there) => { false };
    (@acts at_start) => { $crate::Acts::AtStart };
    (@acts at_reload) => { $crate::Acts::AtReload };
}
