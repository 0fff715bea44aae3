//! The system bus: calls that end in time, and signals that only say "look again".

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_core::Stream as _;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use zbus::{
    Connection, DynamicType, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant,
    connection::Builder,
    message::{Message, Type},
};

use super::bag::Bag;

/// Of connecting, and of a call that does nothing but tell.
const DEADLINE: Duration = Duration::from_secs(5);
/// Objects of a manager that are looked at.
const OBJECTS_MAX: usize = 256;
/// Signals that wait for us: they say no more than one would.
const SIGNALS: NonZeroUsize = NonZeroUsize::new(16).expect("sixteen");

const DBUS: &str = "org.freedesktop.DBus";

/// The interfaces of one object, and their properties.
pub(super) type Object = BTreeMap<String, Bag>;
/// Objects by their paths.
pub(super) type Objects = BTreeMap<String, Object>;

/// A manager on the bus.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Service {
    pub(super) name: &'static str,
    /// Where its objects are listed.
    pub(super) root: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct Bus {
    connection: Connection,
}

/// Why a call has no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum CallError {
    #[error("no answer in time")]
    Late,
    /// As it says.
    #[error("{0}")]
    Refused(String),
}

/// Says that a manager came, went, or changed something. Ends with it.
#[derive(Debug)]
pub(super) struct Pokes {
    poke: Arc<Notify>,
    pumps: Vec<JoinHandle<()>>,
}

impl Bus {
    /// That of the system, where `DBUS_SYSTEM_BUS_ADDRESS` does not name another one.
    pub(super) async fn open(address: Option<&str>) -> Result<Self, CallError> {
        let builder = address.map_or_else(Builder::system, Builder::address);
        let connection = in_time(DEADLINE, builder.build()).await?;
        Ok(Self { connection })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Whether the manager runs. Asking it itself would start it.
    pub(super) async fn has(&self, service: Service) -> bool {
        let call = self.connection.call_method(
            Some(DBUS),
            "/org/freedesktop/DBus",
            Some(DBUS),
            "NameHasOwner",
            &service.name,
        );
        let answer = in_time(DEADLINE, call).await.and_then(|m| body(&m));
        answer.unwrap_or(false)
    }

    /// Everything that a manager shows.
    pub(super) async fn objects(&self, service: Service) -> Result<Objects, CallError> {
        type Found = HashMap<OwnedObjectPath, BTreeMap<String, BTreeMap<String, OwnedVariant>>>;
        let interface = "org.freedesktop.DBus.ObjectManager";
        let root = service.root;
        let call = self.call(service, root, interface, "GetManagedObjects", &(), DEADLINE);
        let found: Found = call.await?;
        let object = |interfaces: BTreeMap<String, _>| {
            let bags = interfaces.into_iter();
            bags.map(|(name, properties)| (name, Bag::new(properties)))
                .collect()
        };
        let objects = found.into_iter();
        let objects =
            objects.map(|(path, interfaces)| (path.as_str().to_owned(), object(interfaces)));
        // In their order, so that the same ones are left out each time.
        let objects: Objects = objects.collect();
        Ok(objects.into_iter().take(OBJECTS_MAX).collect())
    }

    pub(super) async fn properties(
        &self,
        service: Service,
        path: &str,
        interface: &str,
    ) -> Result<Bag, CallError> {
        let properties = "org.freedesktop.DBus.Properties";
        let call = self.call(service, path, properties, "GetAll", &interface, DEADLINE);
        Ok(Bag::new(call.await?))
    }

    pub(super) async fn call<B, R>(
        &self,
        service: Service,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &B,
        deadline: Duration,
    ) -> Result<R, CallError>
    where
        B: Serialize + DynamicType + Sync,
        R: DeserializeOwned + zbus::Type,
    {
        let to = Some(service.name);
        let connection = &self.connection;
        let call = connection.call_method(to, path, Some(interface), method, arguments);
        let answer = in_time(deadline, call).await?;
        body(&answer)
    }

    /// Follows a manager.
    pub(super) async fn follow(&self, service: Service) -> Result<Pokes, CallError> {
        let poke = Arc::new(Notify::new());
        let said = MatchRule::builder().msg_type(Type::Signal);
        let said = said.sender(service.name);
        let moved = MatchRule::builder().msg_type(Type::Signal).sender(DBUS);
        let moved = moved.member("NameOwnerChanged").add_arg(service.name);
        let mut pumps = Vec::new();
        for rule in [said, moved] {
            let rule = rule.build().map_err(|error| refused(&error))?;
            let stream = MessageStream::for_match_rule(rule, &self.connection, Some(SIGNALS));
            let stream = in_time(DEADLINE, stream).await?;
            pumps.push(tokio::spawn(pump(stream, Arc::clone(&poke))));
        }
        Ok(Pokes { poke, pumps })
    }
}

impl Pokes {
    /// Waits for the next, however many there were. Those before the wait count.
    pub(super) async fn next(&self) {
        self.poke.notified().await;
    }
}

impl Drop for Pokes {
    fn drop(&mut self) {
        self.pumps.iter().for_each(JoinHandle::abort);
    }
}

/// A queue that nobody empties holds up every answer on its connection: so it is emptied here,
/// whatever we wait for.
async fn pump(mut signals: MessageStream, poke: Arc<Notify>) {
    while poll_fn(|cx| Pin::new(&mut signals).poll_next(cx))
        .await
        .is_some()
    {
        poke.notify_one();
    }
    // The bus is gone, which is news as well.
    poke.notify_one();
}

async fn in_time<T>(
    deadline: Duration,
    call: impl Future<Output = zbus::Result<T>>,
) -> Result<T, CallError> {
    let answer = timeout(deadline, call).await.map_err(|_| CallError::Late)?;
    answer.map_err(|error| refused(&error))
}

fn body<R: DeserializeOwned + zbus::Type>(message: &Message) -> Result<R, CallError> {
    let body = message.body();
    let owned = body.deserialize_ignore_signature();
    if body.signature() != R::SIGNATURE {
        return Err(CallError::Refused(format!("answers {}", body.signature())));
    }
    owned.map_err(|error| refused(&error))
}

fn refused(error: &zbus::Error) -> CallError {
    CallError::Refused(error.to_string().chars().take(200).collect())
}
