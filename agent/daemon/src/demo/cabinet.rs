//! The simulated cabinet: an air handler as a Modbus RTU slave, a meter that counts what the lamps and
//! the air handler take. Both sit behind pseudo-terminals.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lamplighter_model::Path as LwPath;
use lamplighter_sim::{
    meter::{Meter, MeterConfig},
    modbus::{self, Bank, Framing, Obedient, Units},
    pty::Pty,
};
use tokio::{task::JoinHandle, time::interval};

use crate::{clock::Clock, start::Follow, status::Status};

/// Address of the air handler and its registers.
const UNIT: u8 = 17;
const SUPPLY_AIR: u16 = 3;
const SETPOINT: u16 = 5;
const COMPRESSOR: u16 = 14;

/// How often the cabinet's physics moves on.
const STEP: Duration = Duration::from_secs(1);

/// °C that the room would have without cooling, and how fast it gets there and back per second.
const WARM: f64 = 29.0;
const WARMING: f64 = 1.0 / 60.0;
const COOLING: f64 = 1.0 / 20.0;

/// W taken by the cabinet itself, one lamp, the compressor and the fan.
const BASE: u32 = 40;
const LAMP: u32 = 85;
const COMPRESSOR_ON: u32 = 1450;
const FAN: u32 = 120;

/// The running simulation; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Cabinet {
    lines: [PathBuf; 2],
    tasks: Vec<JoinHandle<()>>,
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
struct World {
    air: f64,
    meter: Meter,
    steps: u32,
    units: Units,
}

impl Cabinet {
    /// Opens the lines; their paths lie in `directory`.
    pub(super) fn start(directory: &Path) -> io::Result<Self> {
        let lines = ["rs485", "optical-head"].map(|name| directory.join(name));
        let (rs485, head) = (Pty::open_linked(&lines[0])?, Pty::open_linked(&lines[1])?);
        let units = Units::default();
        units.insert(UNIT, air_handler());
        // A pseudo-terminal carries eight bits whatever it is told.
        let meter = Meter::new(MeterConfig {
            software_parity: true,
            ..MeterConfig::default()
        });
        let world = World {
            air: 24.0,
            meter: meter.clone(),
            steps: 0,
            units: units.clone(),
        };
        let slave = modbus::serve(rs485, Framing::Rtu, units, Obedient);
        let tasks = vec![
            tokio::spawn(async move {
                if let Err(error) = slave.await {
                    tracing::error!(%error, "The simulated air handler has stopped");
                }
            }),
            tokio::spawn(async move {
                if let Err(error) = meter.serve(head).await {
                    tracing::error!(%error, "The simulated meter has stopped");
                }
            }),
        ];
        let cabinet = Self {
            lines,
            tasks,
            world: Arc::new(Mutex::new(world)),
        };
        cabinet
            .world
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .step(0);
        Ok(cabinet)
    }

    pub(super) fn modbus_line(&self) -> &Path {
        &self.lines[0]
    }

    pub(super) fn meter_line(&self) -> &Path {
        &self.lines[1]
    }

    /// Lets the physics follow what the agent has switched.
    pub(super) fn follower(&self) -> Follow {
        let world = Arc::clone(&self.world);
        Follow::new(move |status, clock| {
            let world = Arc::clone(&world);
            async move {
                let mut ticks = interval(STEP);
                loop {
                    ticks.tick().await;
                    let lamps = lamps_on(&status, clock);
                    world
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .step(lamps);
                }
            }
        })
    }
}

impl Drop for Cabinet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl World {
    fn step(&mut self, lamps: u32) {
        self.steps = self.steps.wrapping_add(1);
        let ripple = self.steps % 7;
        let air = self.air;
        let (air, compressor) = self.units.with(UNIT, |bank| {
            let on = bank.coils.get(&COMPRESSOR).copied().unwrap_or_default();
            let wanted = f64::from(bank.holding.get(&SETPOINT).copied().unwrap_or_default()) / 10.0;
            let air = if on {
                air + (wanted - 1.0 - air) * COOLING
            } else {
                air + (WARM - air) * WARMING
            };
            bank.input
                .insert(SUPPLY_AIR, (air * 10.0).round().clamp(0.0, 1000.0) as u16);
            (air, on)
        });
        self.air = air;
        let power = BASE + LAMP * lamps + FAN + if compressor { COMPRESSOR_ON } else { 0 } + ripple;
        self.meter.set_power_w(power);
    }
}

fn air_handler() -> Bank {
    Bank {
        coils: [(COMPRESSOR, true)].into(),
        holding: [(SETPOINT, 210)].into(),
        input: [(SUPPLY_AIR, 240)].into(),
        ..Bank::default()
    }
}

/// How many lamps the agent says to be lit.
fn lamps_on(status: &Status, clock: Clock) -> u32 {
    let lamps = LwPath::from_ids(&[3416]).unwrap_or(LwPath::Root);
    let levels = status.last_known(lamps, clock.now());
    let lit = levels.iter().filter(|level| {
        let mut ids = level
            .path
            .trim_start_matches('/')
            .split('/')
            .filter_map(|id| id.parse::<u16>().ok());
        let (instance, resource) = (ids.nth(1), ids.next());
        instance.is_some_and(|instance| instance < 60_000)
            && resource == Some(3)
            && level.value.as_f64() > Some(0.0)
    });
    u32::try_from(lit.count()).unwrap_or_default()
}
