//! What ends a connection.

use rustls::{AlertDescription, Error};

/// Why a connection ends, and the alert that says so.
#[derive(Debug)]
pub struct Fault {
    pub(crate) error: Error,
    /// `None` in answer to an alert.
    pub(crate) alert: Option<AlertDescription>,
}

/// Where rustls has sent the alert.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { error, alert: None }
    }
}

pub(crate) fn fault(alert: AlertDescription, error: impl Into<Error>) -> Fault {
    Fault {
        error: error.into(),
        alert: Some(alert),
    }
}

pub(crate) fn internal(error: Error) -> Fault {
    fault(AlertDescription::InternalError, error)
}
