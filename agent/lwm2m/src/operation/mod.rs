//! What servers and people ask for. Everybody walks the same path:
//!
//! 1. [`request`] (servers) or [`local`] (people) makes an [`Operation`] on an address.
//! 2. [`plan`] checks it: target, rights, operations of the resources, payload. Nothing has
//!    happened yet when it refuses.
//! 3. A [`Plan`] says what is answered at once, or what a device has to do first.
//!
//! The order of the checks is that of the standard: a refusal tells the first reason (Core 1.2, 6.3).

use std::collections::BTreeMap;

use lamplighter_coap::Code;
use lamplighter_model::{
    Address, InstancePath,
    device::{Action, Origin},
};

use crate::{
    catalogue::Catalogue,
    format::{ContentFormat, Node},
    object::Effect,
    observe::{Attribute, AttributeStore},
    registration::Enabler,
    reject::Reject,
    tree::Held,
};

mod arguments;
mod composite;
mod create;
mod discover;
mod edit;
mod execute;
pub(crate) mod links;
mod local;
pub(crate) mod part;
mod read;
pub(crate) mod request;
mod target;
mod write;
mod write_attributes;

pub(crate) use composite::{answer_format as composite_format, composite_content};
pub(crate) use create::Deletion;
pub(crate) use edit::{Edit, apply, check_room, gateway, gateway_resource};
pub(crate) use local::from_local;
pub(crate) use read::{answer_format, content};
pub(crate) use write::fitted_and;
pub(crate) use write_attributes::observe_attributes;

/// Who asks, and in what version.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) enabler: Enabler,
    pub(crate) origin: Origin,
}

/// An operation, not checked yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    Create(Body),
    Delete,
    /// The queries: since 1.2 they say how deep.
    Discover(Vec<String>),
    Execute {
        args: Vec<u8>,
    },
    /// `accept`: the format that the answer is to have.
    Read {
        accept: Option<u16>,
        watch: Watch,
    },
    /// The body names the paths.
    ReadComposite {
        accept: Option<u16>,
        body: Body,
        watch: Watch,
    },
    Write {
        body: Body,
        mode: Mode,
        hold: Option<std::time::Duration>,
    },
    WriteAttributes(Vec<String>),
    WriteComposite(Body),
    /// A piece of what a Write brings.
    WritePart(part::Piece),
    /// A method or combination that has no meaning here, with the reason.
    Unsupported(Code, &'static str),
}

/// Whether a Read is the beginning or the end of an observation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Watch {
    Begin,
    End,
    No,
}

/// How a Write treats what it does not name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Partial,
    Replace,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Encoded {
        format: Option<u16>,
        payload: Vec<u8>,
    },
    Value(lamplighter_model::Value),
}

/// What to do about a checked operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    /// What is known below these is the answer.
    Composite(Vec<Address>),
    /// The answer to a Read stands already.
    Content(Vec<Node>),
    /// A device is asked first.
    Device(Action, Then),
    /// Nobody needs to be asked.
    Done(Then),
    Links(String),
}

/// What follows when the devices have done their part.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Then {
    /// New attributes of the address.
    Attributes(Vec<Attribute>),
    /// Instances that begin to exist.
    Created(BTreeMap<InstancePath, Held>),
    Deleted(Deletion),
    /// Nothing of ours; or an effect of a core-backed resource.
    Executed(Option<Effect>),
    /// What is known of the address is the answer.
    Read,
    /// Resources of the core, and of instances that servers made, that are written now; they were
    /// checked before.
    Written(Vec<Edit>),
}

/// What the checks may look at.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) attributes: Option<&'a AttributeStore>,
    pub(crate) caller: &'a Caller,
    pub(crate) catalogue: Catalogue<'a>,
    /// What stands in front of names in payloads.
    pub(crate) prefix: &'a str,
}

/// Checks an operation and says what is to be done.
///
/// # Errors
/// The first reason to refuse it.
pub(crate) fn plan(
    operation: &Operation,
    address: Address,
    context: Context<'_>,
) -> Result<Plan, Reject> {
    match operation {
        Operation::Create(body) => create::plan_create(address, body, context),
        Operation::Delete => create::plan_delete(address, context),
        Operation::Discover(queries) => discover::plan(address, queries, context),
        Operation::Execute { args } => execute::plan(address, args, context),
        Operation::Read { accept, .. } => read::plan(address, *accept, context),
        Operation::ReadComposite { accept, body, .. } => {
            composite::plan_read(address, body, *accept, context)
        }
        Operation::Unsupported(code, why) => target::refuse(address, *code, why, context),
        Operation::Write { body, mode, hold } => write::plan(address, body, *mode, *hold, context),
        Operation::WriteAttributes(queries) => write_attributes::plan(address, queries, context),
        Operation::WriteComposite(body) => composite::plan_write(address, body, context),
        Operation::WritePart(piece) => part::plan(address, piece, context),
    }
}

impl Operation {
    /// For people and logs.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Delete => "delete",
            Self::Discover(_) => "discover",
            Self::Execute { .. } => "execute",
            Self::Read { watch, .. } | Self::ReadComposite { watch, .. } => match watch {
                Watch::Begin => "observe",
                Watch::End => "cancel",
                Watch::No => "read",
            },
            Self::Unsupported(..) => "unsupported",
            Self::Write { .. } | Self::WriteComposite(_) | Self::WritePart(_) => "write",
            Self::WriteAttributes(_) => "write attributes",
        }
    }

    pub(crate) const fn watch(&self) -> Watch {
        match self {
            Self::Read { watch, .. } | Self::ReadComposite { watch, .. } => *watch,
            Self::Create(_)
            | Self::Delete
            | Self::Discover(_)
            | Self::Execute { .. }
            | Self::Unsupported(..)
            | Self::Write { .. }
            | Self::WriteAttributes(_)
            | Self::WriteComposite(_)
            | Self::WritePart(_) => Watch::No,
        }
    }

    /// Whether it changes the world, so that people are told.
    pub(crate) const fn is_command(&self) -> bool {
        match self {
            Self::Create(_)
            | Self::Delete
            | Self::Execute { .. }
            | Self::Write { .. }
            | Self::WriteComposite(_) => true,
            // One line for all of them.
            Self::WritePart(piece) => !piece.has_more,
            Self::Discover(_)
            | Self::Read { .. }
            | Self::ReadComposite { .. }
            | Self::Unsupported(..)
            | Self::WriteAttributes(_) => false,
        }
    }
}

/// The formats that this box announces beyond those every client has.
pub(crate) const ANNOUNCED: [u16; 5] = [
    ContentFormat::Cbor.number(),
    ContentFormat::SenmlJson.number(),
    ContentFormat::SenmlCbor.number(),
    ContentFormat::Tlv.number(),
    ContentFormat::Lwm2mJson.number(),
];
