//! What lies between exchanges and the wire: nothing today, OSCORE later. It maps a message to a
//! message, so the layers on both sides need not know.

use crate::message::Message;

/// How messages of this endpoint are protected. A closed set: each kind is one variant.
#[derive(Debug, Default)]
pub(crate) enum Protection {
    #[default]
    None,
}

impl Protection {
    /// From an exchange to the wire.
    pub(crate) fn outgoing(&self, message: Message) -> Message {
        match self {
            Self::None => message,
        }
    }

    /// From the wire to an exchange; `None` if the message must not be believed.
    pub(crate) fn incoming(&self, message: Message) -> Option<Message> {
        match self {
            Self::None => Some(message),
        }
    }
}
