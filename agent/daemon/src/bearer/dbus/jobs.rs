//! Does with a modem what [`super::connect`] wants: calls of ModemManager that take their time, in a
//! task of their own, each with its deadline.

use std::{collections::BTreeMap, time::Duration};

use zbus::{ObjectPath, OwnedObjectPath, Variant};

use super::{
    bus::{Bus, CallError},
    connect::{Families, Job},
    memory::Memory,
    modem::MODEM,
    modems::{MODEM_MANAGER, SIM},
};
use crate::config::{Apn, secret::Secret};

const SIMPLE: &str = "org.freedesktop.ModemManager1.Modem.Simple";
/// MMModemPowerState: as little as keeps the modem on the bus.
const POWER_LOW: u32 = 2;
/// MMBearerIpFamily
const IPV4: u32 = 1;
const IPV4V6: u32 = 4;

/// What a job needs.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) modem: String,
    pub(super) sim: Option<String>,
    /// What tells the card from others.
    pub(super) card: String,
    pub(super) pin: Option<Secret>,
    /// Tries that are left for it.
    pub(super) pin_tries: Option<i64>,
    pub(super) apn: Option<Apn>,
    pub(super) memory: Memory,
}

/// Of each job; then it counts as failed, whatever the modem still does.
const fn deadline(job: Job) -> Duration {
    Duration::from_secs(match job {
        Job::Unlock | Job::Reset => 30,
        Job::Disconnect => 60,
        Job::Enable | Job::Off => 120,
        Job::Connect(_) => 180,
    })
}

pub(super) async fn perform(bus: Bus, job: Job, work: Work) -> Result<(), CallError> {
    let within = deadline(job);
    let modem = work.modem.as_str();
    let to = MODEM_MANAGER;
    match job {
        Job::Unlock => unlock(&bus, &work).await,
        Job::Enable => bus.call(to, modem, MODEM, "Enable", &true, within).await,
        Job::Connect(families) => {
            let wanted = wanted(work.apn.as_ref(), families);
            let connect = bus.call(to, modem, SIMPLE, "Connect", &wanted, within);
            let _bearer: OwnedObjectPath = connect.await?;
            Ok(())
        }
        Job::Disconnect => {
            // All of them.
            let every = ObjectPath::try_from("/").map_err(|_| CallError::Late)?;
            bus.call(to, modem, SIMPLE, "Disconnect", &every, within)
                .await
        }
        Job::Reset => bus.call(to, modem, MODEM, "Reset", &(), within).await,
        Job::Off => {
            let () = bus.call(to, modem, MODEM, "Enable", &false, within).await?;
            let low = bus.call(to, modem, MODEM, "SetPowerState", &POWER_LOW, within);
            let low: Result<(), CallError> = low.await;
            // A disabled modem is silent already; not every one can sleep deeper.
            if let Err(error) = low {
                tracing::debug!(%error, "A modem stays awake");
            }
            Ok(())
        }
    }
}

/// Part of the name of the error by which a card refuses a PIN, not ModemManager or the bus.
const WRONG_PIN: &str = "IncorrectPassword";

/// Once for each card and PIN, and told to the disk before, whatever happens then.
async fn unlock(bus: &Bus, work: &Work) -> Result<(), CallError> {
    let (Some(sim), Some(pin)) = (&work.sim, &work.pin) else {
        return Err(CallError::Refused("there is no card to unlock".into()));
    };
    let text = str::from_utf8(pin.bytes());
    let text = text.map_err(|_| CallError::Refused("the PIN is no text".into()))?;
    work.memory.suspect(&work.card, pin, work.pin_tries).await;
    let send = bus.call(
        MODEM_MANAGER,
        sim,
        SIM,
        "SendPin",
        &text,
        deadline(Job::Unlock),
    );
    let sent: Result<(), CallError> = send.await;
    match &sent {
        Ok(()) => work.memory.acquit(&work.card, pin).await,
        Err(CallError::Refused(why)) if why.contains(WRONG_PIN) => {
            work.memory.convict(&work.card, pin).await;
        }
        // Nobody knows whether the card has seen it.
        Err(CallError::Refused(_) | CallError::Late) => {}
    }
    sent
}

fn wanted(apn: Option<&Apn>, families: Families) -> BTreeMap<&'static str, Variant<'_>> {
    let family = match families {
        Families::Both => IPV4V6,
        Families::V4 => IPV4,
    };
    let mut wanted = BTreeMap::from([
        ("ip-type", Variant::U32(family)),
        ("allow-roaming", Variant::Bool(true)),
    ]);
    let Some(apn) = apn else {
        // That of the SIM; without any ModemManager does not even try.
        wanted.insert("apn", Variant::from(""));
        return wanted;
    };
    wanted.insert("apn", Variant::from(apn.name.as_str()));
    let password = apn.password.as_ref();
    let password = password.and_then(|secret| str::from_utf8(secret.bytes()).ok());
    for (name, value) in [("user", apn.user.as_deref()), ("password", password)] {
        wanted.extend(value.map(|value| (name, Variant::from(value))));
    }
    wanted
}
