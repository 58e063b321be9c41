//! The declarations, by what they make of files.

mod faults;
mod files;
mod restart;
mod values;
