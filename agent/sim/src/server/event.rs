//! What the server tells whoever runs it.

use std::sync::Arc;

use lamplighter_coap::{Code, Failure};
use lamplighter_lwm2m::format::Node;

use super::{
    answer::Answer,
    operation::{RequestError, RequestId},
};

/// Something happened. The name is that of the client.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerEvent {
    /// A request of ours was answered. Of an Observe more follows if `answer.observe` is set.
    Answered(RequestId, Arc<str>, Answer),
    Deregistered(Arc<str>),
    /// The lifetime passed without an Update.
    Expired(Arc<str>),
    /// A request of ours has no answer.
    Failed(RequestId, Arc<str>, RequestError),
    Notified(RequestId, Arc<str>, Answer),
    /// No notification follows any more.
    ObservationEnded(RequestId, Arc<str>, EndReason),
    /// For the first time, or again.
    Registered(Arc<str>),
    /// Values that were not asked for, in the order of the payload.
    Sent(Arc<str>, Vec<Node>),
    Updated(Arc<str>),
}

/// Why an observation is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EndReason {
    Cancelled,
    /// The exchange behind it broke.
    Failed(Failure),
    /// The registration ended or was replaced.
    Gone,
    /// The client updates from another address; without a security session its observations do
    /// not move with it.
    Moved,
    /// The client ended it with this code.
    Refused(Code),
}
