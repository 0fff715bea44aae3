//! What polling costs the agent: CPU and memory with twenty points and with two thousand, each read
//! every ten seconds and another value each time.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::Duration,
};

use lamplighter_adapters::bus::{LineSettings, Opener, SerialOpener};
use lamplighter_sim::{
    modbus::{self as sim, Behaviour, Seen, Units},
    null_modem::NullModem,
};

use super::single_thread;
use crate::{
    Failure, client,
    process::{Memory, Running},
};

const LINE: &str = "115200-8N1";
const DEVICES: u8 = 20;
const PERIOD: Duration = Duration::from_secs(10);

/// After so long all points are read, and what is done once is done.
const WARM: Duration = Duration::from_secs(30);

pub(super) fn run(program: &str, seconds: u64) -> Result<(), Failure> {
    let time = Duration::from_secs(seconds);
    let (few_cpu, few) = measure(program, 1, time)?;
    let (many_cpu, many) = measure(program, 100, time)?;
    let points = f64::from(DEVICES) * 99.0;
    println!(
        "polling every {} s: {:.2} % of a core with {DEVICES} points, {:.2} % with {}",
        PERIOD.as_secs(),
        few_cpu * 100.0,
        many_cpu * 100.0,
        u32::from(DEVICES) * 100,
    );
    println!(
        "resident {} and {} kB, anonymous {} and {} kB: {:.2} kB per point",
        few.resident,
        many.resident,
        few.anonymous,
        many.anonymous,
        (many.anonymous as f64 - few.anonymous as f64) / points,
    );
    Ok(())
}

/// Share of a core, and memory at the end.
fn measure(program: &str, points: u16, time: Duration) -> Result<(f64, Memory), Failure> {
    let line: LineSettings = LINE.parse()?;
    let modem = NullModem::open(line.char_time())?;
    let mut far = SerialOpener::new(modem.far(), line);
    thread::spawn(move || {
        // Ends with the line.
        let _ended = single_thread().map(|runtime| runtime.block_on(slaves(&mut far)));
    });
    let home = client::home();
    configure(&home, modem.near(), points)?;
    let running = start(program, &home)?;
    thread::sleep(WARM);
    let before = running.cpu()?;
    thread::sleep(time);
    let share = (running.cpu()? - before).as_secs_f64() / time.as_secs_f64();
    let exchanges = modem.take_exchanges().len() as u64;
    // All requests of all periods but the first came.
    let least = u64::from(DEVICES) * (time.as_secs() / PERIOD.as_secs());
    if exchanges < least {
        return Err(format!("only {exchanges} of {least} reads").into());
    }
    let memory = running.memory()?;
    drop(running);
    fs::remove_dir_all(home)?;
    Ok((share, memory))
}

async fn slaves(far: &mut SerialOpener) -> std::io::Result<()> {
    let (units, reads) = (Units::default(), AtomicU16::new(0));
    for unit in 1..=DEVICES {
        units.with(unit, |bank| {
            bank.input = (0..100).map(|at| (at, at)).collect();
        });
    }
    let registers = units.clone();
    let changing = move |seen: &Seen| {
        let number = reads.fetch_add(1, Ordering::Relaxed) % 100;
        registers.with(seen.unit, |bank| {
            bank.input
                .iter_mut()
                .for_each(|(at, value)| *value = at + number);
        });
        Behaviour::Answer
    };
    sim::serve(far.open().await?, sim::Framing::Rtu, units, changing).await
}

fn configure(home: &Path, device: &Path, points: u16) -> Result<(), Failure> {
    if home.exists() {
        fs::remove_dir_all(home)?;
    }
    fs::create_dir_all(home)?;
    let mut file = fs::File::create(home.join("lamplighter.toml"))?;
    writeln!(
        file,
        "[client]\nendpoint = \"bench\"\n[bus.line]\nkind = \"serial\"\ndevice = \"{}\"\nline = \"{LINE}\"",
        device.display()
    )?;
    for unit in 1..=DEVICES {
        writeln!(
            file,
            "[device.d{unit}]\nadapter = \"modbus\"\nbus = \"line\"\nunit = {unit}"
        )?;
        for at in 0..points {
            let instance = u16::from(unit) * 100 + at;
            writeln!(
                file,
                "point.p{at} = {{ resource = \"/3303/{instance}/5700\", read = {{ table = \"input\", \
                 at = {at}, type = \"i16\" }}, scale = 0.1, poll_s = {} }}",
                PERIOD.as_secs()
            )?;
        }
    }
    Ok(())
}

fn start(program: &str, home: &Path) -> Result<Running, Failure> {
    let mut command = Command::new(program);
    command.arg("--config").arg(home.join("lamplighter.toml"));
    command.arg("--state-dir").arg(home.join("state"));
    command.arg("--run-dir").arg(home.join("run"));
    command.arg("run").stdin(Stdio::null());
    command.stderr(fs::File::create(home.join("log"))?);
    Ok(Running(command.spawn()?))
}
