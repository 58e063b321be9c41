//! Tower layers that tower and tower-http do not have.

mod observe;
mod request_id;
mod rescue;
mod response_timeout;

pub use observe::{ACCESS_LOG, Observe, ObserveLayer, ObservedBody};
pub use request_id::RandomRequestId;
pub use rescue::{Rescue, RescueLayer, Rescuing};
pub use response_timeout::{NoResponse, ProgressBody, ResponseTimeout, ResponseTimeoutLayer};
