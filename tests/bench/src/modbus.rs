//! How much of a serial line's time each Modbus master puts to use, on the same paced line and in
//! the same run: ours, libmodbus and pymodbus where they are installed.
//!
//! The floor of an exchange is request, answer, 3.5 characters of silence
//! and the slave's own turnaround, which the line's monitor has measured. Who does not keep
//! the silence gets more than 100 %. On a machine that does something else the median says more than
//! the sum of all: a pseudo-terminal passes bytes on when the kernel's workers get their turn.
mod load;

use std::{thread, time::Duration};

use lamplighter_adapters::{
    bus::{LineSettings, Opener, SerialOpener},
    modbus::{Ask, Bus, BusSettings, Class, Framing, Request, Table},
};
use lamplighter_sim::{
    modbus::{self as sim, Bank, Obedient, Units},
    null_modem::{Exchange, NullModem},
};
use tokio::{runtime, time::Instant};

use crate::Failure;

const LINES: [&str; 2] = ["9600-8N1", "19200-8N1"];
const UNIT: u8 = 17;
const COUNT: u16 = 10;

/// The one whose line use is measured.
enum Master<'a> {
    Ours,
    /// Name, program and its first arguments.
    Foreign(&'a str, Vec<String>, &'a str),
}

/// `load PROGRAM [SECONDS]`, or `[SECONDS [LIBMODBUS_CLIENT PYTHON PYMODBUS_CLIENT]]`.
pub(crate) fn bench(arguments: &[&str]) -> Result<(), Failure> {
    match *arguments {
        ["load", program] => load::run(program, 60),
        ["load", program, seconds] => load::run(program, seconds.parse()?),
        _ => line_use(arguments),
    }
}

fn line_use(arguments: &[&str]) -> Result<(), Failure> {
    let seconds = arguments.first().map_or(Ok(10.0), |text| text.parse())?;
    let mut masters = vec![Master::Ours];
    if let [_, libmodbus, python, script] = *arguments {
        let pymodbus = || vec![python.to_owned(), script.to_owned()];
        masters.push(Master::Foreign("libmodbus", vec![libmodbus.to_owned()], ""));
        masters.push(Master::Foreign("pymodbus async", pymodbus(), "async"));
        masters.push(Master::Foreign("pymodbus sync", pymodbus(), "sync"));
    }
    println!(
        "line       master            requests    median        all   silence kept: least, median"
    );
    for line in LINES {
        for master in &masters {
            measure(line, master, Duration::from_secs_f64(seconds))?;
        }
    }
    Ok(())
}

fn measure(text: &str, master: &Master<'_>, time: Duration) -> Result<(), Failure> {
    let line: LineSettings = text.parse()?;
    let modem = NullModem::open(line.char_time())?;
    let mut far = SerialOpener::new(modem.far(), line);
    thread::spawn(move || {
        // Ends with the line.
        let _ended = single_thread().map(|runtime| runtime.block_on(slave(&mut far)));
    });
    let name = match master {
        Master::Ours => {
            single_thread()?.block_on(ours(&modem, line, time))?;
            "ours"
        }
        Master::Foreign(name, command, mode) => {
            foreign(command, mode, &modem, line, time)?;
            name
        }
    };
    let exchanges = modem.take_exchanges();
    println!("{}", row(text, name, line, &exchanges));
    Ok(())
}

fn single_thread() -> std::io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

async fn slave(far: &mut SerialOpener) -> std::io::Result<()> {
    let units = Units::default();
    let holding = (0..1000).map(|at| (at, at)).collect();
    units.insert(
        UNIT,
        Bank {
            holding,
            ..Bank::default()
        },
    );
    sim::serve(far.open().await?, sim::Framing::Rtu, units, Obedient).await
}

async fn ours(modem: &NullModem, line: LineSettings, time: Duration) -> Result<(), Failure> {
    let opener = SerialOpener::new(modem.near(), line);
    let (bus, owner) = Bus::new(opener, BusSettings::new("bench", Framing::Rtu(line)), 1);
    tokio::spawn(owner.run());
    let end = Instant::now() + time;
    while Instant::now() < end {
        let timeout = Duration::from_secs(3);
        bus.ask(Ask {
            unit: UNIT,
            request: Request::Read {
                table: Table::Holding,
                at: 0,
                count: COUNT,
            },
            class: Class::Poll,
            timeout,
            late_timeout: timeout,
            expires: None,
        })
        .await?;
    }
    Ok(())
}

fn foreign(
    command: &[String],
    mode: &str,
    modem: &NullModem,
    line: LineSettings,
    time: Duration,
) -> Result<(), Failure> {
    let (program, first) = command.split_first().ok_or("no program")?;
    let mut process = std::process::Command::new(program);
    process.args(first).arg(modem.near());
    process.args([line.baud, UNIT.into(), COUNT.into()].map(|number| number.to_string()));
    process.arg(time.as_secs_f64().to_string());
    process.args(Some(mode).filter(|mode| !mode.is_empty()));
    let status = process.status()?;
    if !status.success() {
        return Err(format!("{program}: {status}").into());
    }
    Ok(())
}

fn row(text: &str, name: &str, line: LineSettings, exchanges: &[Exchange]) -> String {
    let silence = line.char_time() * 7 / 2;
    let (mut floors, mut all) = (Duration::ZERO, Duration::ZERO);
    let (mut uses, mut pauses) = (Vec::new(), Vec::new());
    for pair in exchanges.windows(2) {
        let [one, next] = pair else { continue };
        let turnaround = one.reply.0 - one.request.1;
        let floor = line.char_time() * one.bytes + silence + turnaround;
        let took = next.request.0 - one.request.0;
        floors += floor;
        all += took;
        uses.push(floor.as_secs_f64() / took.as_secs_f64());
        pauses.push(next.request.0 - one.reply.1);
    }
    pauses.sort();
    uses.sort_by(f64::total_cmp);
    let at = |index: usize| {
        let pause = pauses.get(index).copied().unwrap_or_default();
        pause.as_secs_f64() / silence.as_secs_f64()
    };
    format!(
        "{text:10} {name:16} {:>9} {:>8.1} % {:>8.1} %   {:.2} and {:.2}",
        exchanges.len(),
        100.0 * uses.get(uses.len() / 2).copied().unwrap_or_default(),
        100.0 * floors.as_secs_f64() / all.as_secs_f64().max(1e-9),
        at(0),
        at(pauses.len() / 2),
    )
}
