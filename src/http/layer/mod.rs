//! Tower layers that tower and tower-http do not have.

mod observe;
mod request_id;
mod rescue;
mod response_timeout;

pub(super) use observe::{CurrentRoute, ObserveLayer, ObservedBody};
pub(super) use request_id::IdentifyLayer;
pub(super) use rescue::RescueLayer;
pub(super) use response_timeout::{NoResponse, ResponseTimeoutLayer};
