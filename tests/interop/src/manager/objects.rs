//! The objects of ModemManager on the bus.

use std::{collections::HashMap, sync::Arc};

use zbus::{
    Connection, DBusError, ObjectPath, ObjectServer, OwnedObjectPath, OwnedVariant, Variant, fdo,
    interface,
};

use super::{Bearer, Call, Modem, Refusal, Wanted};
use crate::modem::Bus;

const ROOT: &str = "/org/freedesktop/ModemManager1";
const SIM: &str = "/org/freedesktop/ModemManager1/SIM/0";

/// MMModemState
pub(super) const DISABLED: i32 = 3;
const ENABLING: i32 = 5;
const REGISTERED: i32 = 8;
const CONNECTING: i32 = 10;
const CONNECTED: i32 = 11;
/// MMModemPowerState
pub(super) const POWER_ON: u32 = 3;
/// MMModemPortType
const PORT_NET: u32 = 2;
const PORT_MBIM: u32 = 7;
/// MMModemMode: 2G to 4G; MMModemAccessTechnology: LTE.
const MODES: u32 = 0b1110;
const LTE: u32 = 1 << 14;
/// MMBearerIpMethod: as given.
const STATIC: u32 = 2;
/// What went over each connection: received, sent.
const BYTES: (u64, u64) = (2000, 1000);

type Dict = HashMap<String, OwnedVariant>;

/// As ModemManager names what went wrong.
#[derive(Debug, DBusError)]
#[zbus(prefix = "org.freedesktop.ModemManager1.Error", impl_display = true)]
enum Error {
    #[zbus(error)]
    ZBus(zbus::Error),
    #[zbus(name = "Core.WrongState")]
    WrongState(String),
    #[zbus(name = "MobileEquipment.Unknown")]
    Stuck(String),
    #[zbus(name = "MobileEquipment.MissingOrUnknownApn")]
    UnknownApn(String),
    #[zbus(name = "MobileEquipment.UserAuthenticationFailed")]
    WrongPassword(String),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Stuck => Self::Stuck("Unknown error".into()),
            Refusal::UnknownApn => Self::UnknownApn("Missing or unknown APN".into()),
            Refusal::WrongPassword => Self::WrongPassword("User authentication failed".into()),
        }
    }
}

pub(super) async fn serve(bus: &Bus, modem: &Arc<Modem>) -> Connection {
    let connection = bus.connect().await;
    let server = connection.object_server();
    server.at(ROOT, fdo::ObjectManager).await.unwrap();
    server.at(SIM, SimObject).await.unwrap();
    appear(server, modem).await.unwrap();
    let name = "org.freedesktop.ModemManager1";
    connection.request_name(name).await.unwrap();
    connection
}

/// The modem is there, by another number than before.
async fn appear(server: &ObjectServer, modem: &Arc<Modem>) -> zbus::Result<()> {
    let path = modem.path();
    server.at(path.clone(), Gpp).await?;
    server.at(path.clone(), Simple(Arc::clone(modem))).await?;
    server
        .at(path.clone(), ModemObject(Arc::clone(modem)))
        .await?;
    Ok(())
}

async fn vanish(server: &ObjectServer, path: OwnedObjectPath) -> zbus::Result<()> {
    server.remove::<ModemObject, _>(path.clone()).await?;
    server.remove::<Simple, _>(path.clone()).await?;
    server.remove::<Gpp, _>(path).await?;
    Ok(())
}

impl Modem {
    fn path(&self) -> OwnedObjectPath {
        path(&format!("{ROOT}/Modem/{}", self.state().number))
    }

    /// Of the connection that was asked for last.
    fn bearer_path(&self) -> Option<OwnedObjectPath> {
        let state = self.state();
        state.bearer.as_ref()?;
        Some(path(&format!("{ROOT}/Bearer/{}", state.bearers)))
    }

    /// Says that something has changed, as whoever listens will ask for it.
    async fn go_to(&self, connection: &Connection, state: i32) -> zbus::Result<()> {
        self.state().modem = state;
        changed(
            connection,
            self.path(),
            "org.freedesktop.ModemManager1.Modem",
        )
        .await
    }

    /// By the network.
    pub(super) async fn lose(&self, connection: &Connection) -> zbus::Result<()> {
        self.hang_up(connection).await?;
        self.go_to(connection, REGISTERED).await
    }

    async fn hang_up(&self, connection: &Connection) -> zbus::Result<()> {
        self.air().disconnect();
        if let Some(bearer) = &mut self.state().bearer {
            bearer.lease = None;
        }
        self.bearer_changed(connection).await
    }

    async fn bearer_changed(&self, connection: &Connection) -> zbus::Result<()> {
        let Some(path) = self.bearer_path() else {
            return Ok(());
        };
        changed(connection, path, "org.freedesktop.ModemManager1.Bearer").await
    }
}

async fn changed(
    connection: &Connection,
    path: OwnedObjectPath,
    interface: &str,
) -> zbus::Result<()> {
    let nothing = HashMap::<&str, Variant<'_>>::new();
    let body = (interface, nothing, &["State", "Connected"][..]);
    let properties = "org.freedesktop.DBus.Properties";
    connection
        .emit_signal(None::<&str>, path, properties, "PropertiesChanged", &body)
        .await
}

fn path(text: &str) -> OwnedObjectPath {
    OwnedObjectPath::try_from(text).unwrap()
}

fn dict<const N: usize>(entries: [(&str, Variant<'static>); N]) -> Dict {
    let owned = entries.map(|(name, value)| {
        let value = OwnedVariant::try_from(value).expect("no descriptor among them");
        (name.to_owned(), value)
    });
    owned.into_iter().collect()
}

struct ModemObject(Arc<Modem>);

#[interface(name = "org.freedesktop.ModemManager1.Modem")]
impl ModemObject {
    async fn enable(
        &self,
        enable: bool,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        let modem = &self.0;
        modem.note(Call::Enable(enable));
        if !enable {
            modem.hang_up(connection).await?;
            return Ok(modem.go_to(connection, DISABLED).await?);
        }
        modem.state().power = POWER_ON;
        modem.go_to(connection, ENABLING).await?;
        Ok(modem.go_to(connection, REGISTERED).await?)
    }

    fn set_power_state(&self, state: u32) -> Result<(), Error> {
        self.0.note(Call::Power(state));
        if self.0.state().modem > DISABLED {
            return Err(Error::WrongState("the modem is enabled".into()));
        }
        self.0.state().power = state;
        Ok(())
    }

    /// It leaves the bus, and is another when it comes back.
    async fn reset(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<(), Error> {
        let modem = Arc::clone(&self.0);
        modem.note(Call::Reset);
        modem.hang_up(connection).await?;
        let (server, former) = (server.clone(), modem.path());
        {
            let mut state = modem.state();
            state.modem = DISABLED;
            state.power = POWER_ON;
            state.number += 1;
            state.is_stuck = false;
        }
        // After the answer: this object is locked until then.
        tokio::spawn(async move {
            vanish(&server, former).await.unwrap();
            appear(&server, &modem).await.unwrap();
        });
        Ok(())
    }

    #[zbus(property)]
    fn state(&self) -> i32 {
        self.0.state().modem
    }

    #[zbus(property)]
    fn state_failed_reason(&self) -> u32 {
        0
    }

    #[zbus(property)]
    fn power_state(&self) -> u32 {
        self.0.state().power
    }

    /// MM_MODEM_LOCK_NONE
    #[zbus(property)]
    fn unlock_required(&self) -> u32 {
        1
    }

    #[zbus(property)]
    fn unlock_retries(&self) -> HashMap<u32, u32> {
        HashMap::from([(2, 3)])
    }

    #[zbus(property)]
    fn ports(&self) -> Vec<(String, u32)> {
        let control = "cdc-wdm0".to_owned();
        vec![(control, PORT_MBIM), (self.0.interface.clone(), PORT_NET)]
    }

    #[zbus(property)]
    fn access_technologies(&self) -> u32 {
        let is_on = self.0.state().modem >= REGISTERED;
        if is_on { LTE } else { 0 }
    }

    #[zbus(property)]
    fn signal_quality(&self) -> (u32, bool) {
        (54, true)
    }

    #[zbus(property)]
    fn supported_modes(&self) -> Vec<(u32, u32)> {
        vec![(MODES, 0)]
    }

    #[zbus(property)]
    fn equipment_identifier(&self) -> String {
        "490154203237518".into()
    }

    #[zbus(property)]
    fn sim(&self) -> OwnedObjectPath {
        path(SIM)
    }

    #[zbus(property)]
    fn bearers(&self) -> Vec<OwnedObjectPath> {
        self.0.bearer_path().into_iter().collect()
    }
}

struct Gpp;

#[interface(name = "org.freedesktop.ModemManager1.Modem.Modem3gpp")]
impl Gpp {
    /// At home.
    #[zbus(property)]
    fn registration_state(&self) -> u32 {
        1
    }

    #[zbus(property)]
    fn operator_code(&self) -> String {
        "21401".into()
    }

    #[zbus(property)]
    fn operator_name(&self) -> String {
        "Nobody Mobile".into()
    }
}

struct Simple(Arc<Modem>);

#[interface(name = "org.freedesktop.ModemManager1.Modem.Simple")]
impl Simple {
    async fn connect(
        &self,
        properties: Dict,
        #[zbus(connection)] connection: &Connection,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> Result<OwnedObjectPath, Error> {
        let modem = &self.0;
        let wanted = Wanted::read(&properties);
        modem.note(Call::Connect(wanted.clone()));
        if modem.state().modem != REGISTERED {
            return Err(Error::WrongState("not registered, or connected".into()));
        }
        if let Some(former) = modem.bearer_path() {
            server.remove::<BearerObject, _>(former).await?;
        }
        {
            let mut state = modem.state();
            state.bearers += 1;
            state.bearer = Some(Bearer {
                wanted: wanted.clone(),
                lease: None,
                refusal: None,
            });
        }
        let bearer = modem.bearer_path().expect("it was just made");
        let object = BearerObject(Arc::clone(modem));
        server.at(bearer.clone(), object).await?;
        modem.go_to(connection, CONNECTING).await?;
        let is_stuck = modem.state().is_stuck;
        let answer = match is_stuck {
            true => Err(Refusal::Stuck),
            false => modem.air().connect(&wanted),
        };
        if let Some(bearer) = &mut modem.state().bearer {
            bearer.lease = answer.ok();
            bearer.refusal = answer.err();
        }
        let state = match answer {
            Ok(_) => CONNECTED,
            Err(_) => REGISTERED,
        };
        modem.bearer_changed(connection).await?;
        modem.go_to(connection, state).await?;
        answer?;
        Ok(bearer)
    }

    async fn disconnect(
        &self,
        _bearer: ObjectPath<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<(), Error> {
        self.0.note(Call::Disconnect);
        self.0.hang_up(connection).await?;
        let is_connected = self.0.state().modem == CONNECTED;
        if is_connected {
            self.0.go_to(connection, REGISTERED).await?;
        }
        Ok(())
    }
}

impl Wanted {
    fn read(properties: &Dict) -> Self {
        let text = |name| match properties.get(name).map(|value| &**value) {
            Some(Variant::Str(text)) => Some(text.to_string()),
            _ => None,
        };
        let families = match properties.get("ip-type").map(|value| &**value) {
            Some(Variant::U32(families)) => *families,
            _ => 0,
        };
        Self {
            apn: text("apn").unwrap_or_default(),
            user: text("user"),
            password: text("password"),
            families,
        }
    }
}

struct BearerObject(Arc<Modem>);

impl BearerObject {
    fn of<T: Default>(&self, read: impl FnOnce(&Bearer) -> T) -> T {
        let state = self.0.state();
        state.bearer.as_ref().map(read).unwrap_or_default()
    }
}

#[interface(name = "org.freedesktop.ModemManager1.Bearer")]
impl BearerObject {
    #[zbus(property)]
    fn connected(&self) -> bool {
        self.of(|bearer| bearer.lease.is_some())
    }

    #[zbus(property)]
    fn interface(&self) -> String {
        self.of(|bearer| {
            bearer
                .lease
                .map(|_| self.0.interface.clone())
                .unwrap_or_default()
        })
    }

    #[zbus(property)]
    fn connection_error(&self) -> (String, String) {
        let refusal = self.of(|bearer| bearer.refusal);
        refusal
            .map(Error::from)
            .map_or_else(Default::default, |error| {
                let name = DBusError::name(&error).to_string();
                let text = DBusError::description(&error).unwrap_or_default();
                (name, text.to_owned())
            })
    }

    /// As asked for, but the secret.
    #[zbus(property)]
    fn properties(&self) -> Dict {
        self.of(|bearer| {
            let wanted = bearer.wanted.clone();
            let mut all = dict([
                ("apn", wanted.apn.into()),
                ("ip-type", wanted.families.into()),
            ]);
            all.extend(
                wanted
                    .user
                    .into_iter()
                    .flat_map(|user| dict([("user", user.into())])),
            );
            all
        })
    }

    #[zbus(property, name = "Ip4Config")]
    fn ip4_config(&self) -> Dict {
        let lease = self.of(|bearer| bearer.lease);
        lease.map_or_else(Dict::new, |lease| {
            dict([
                ("method", STATIC.into()),
                ("address", lease.address.to_string().into()),
                ("prefix", u32::from(lease.prefix).into()),
                ("gateway", lease.gateway.to_string().into()),
                ("dns1", lease.name_server.to_string().into()),
                ("mtu", 1428_u32.into()),
            ])
        })
    }

    #[zbus(property, name = "Ip6Config")]
    fn ip6_config(&self) -> Dict {
        Dict::new()
    }

    #[zbus(property)]
    fn stats(&self) -> Dict {
        dict([
            ("total-rx-bytes", BYTES.0.into()),
            ("total-tx-bytes", BYTES.1.into()),
        ])
    }
}

struct SimObject;

#[interface(name = "org.freedesktop.ModemManager1.Sim")]
impl SimObject {
    #[zbus(property)]
    fn sim_identifier(&self) -> String {
        "8934010123456789010".into()
    }
}
