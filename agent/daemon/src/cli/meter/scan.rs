//! `meter scan`: who is on a wired M-Bus.

use std::{
    io::{self, IsTerminal as _, Write},
    path::Path,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use lamplighter_adapters::{
    bus::{SerialOpener, SharedLine, SharedSettings},
    mbus::{
        Address, Failure as Trouble, Header, Looked, Secondary, SecondaryScan, Timing, USUAL_LINE,
        look,
    },
};
use serde::Serialize;
use serde_json::json;

use crate::cli::{
    args::{self, Global},
    exit::Failure,
    modbus::port,
    screen::{self, Table},
};

/// Primary addresses that a meter may have; 0 is that of a new one.
const PRIMARY: std::ops::RangeInclusive<u8> = 0..=250;

/// A meter that was found.
#[derive(Debug, Default, Serialize)]
struct Found {
    /// Number of a primary address.
    address: Option<u8>,
    /// Sixteen characters, as the configuration takes them; a pattern where several are alike.
    secondary: Option<String>,
    maker: Option<String>,
    medium: Option<&'static str>,
    /// What the meter says of itself, or why it cannot be read.
    remarks: Vec<String>,
}

pub(super) fn scan(
    global: &Global,
    options: &args::meter::Scan,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let path = std::path::absolute(&options.port)?;
    port::is_free(&path)?;
    let pattern = match &options.fitting {
        None => Secondary::ANY,
        Some(text) => text
            .parse()
            .map_err(|error| Failure::usage(format!("`{text}`: {error}")))?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let found = runtime.block_on(async {
        let bus = Bus::new(&path, options);
        if options.secondary {
            bus.by_digits(pattern).await
        } else {
            bus.by_number().await
        }
    });
    let found = found.map_err(|trouble| Failure::failed(trouble.to_string()))?;
    if global.json {
        return screen::print_json(out, &json!(found));
    }
    print(&found, out)
}

struct Bus {
    line: SharedLine<SerialOpener>,
    timing: Timing,
}

impl Bus {
    fn new(path: &Path, options: &args::meter::Scan) -> Self {
        let settings = options.line.unwrap_or(USUAL_LINE);
        let shared = SharedSettings {
            name: path.display().to_string(),
            reopen_first: Duration::from_millis(100),
            reopen_max: Duration::from_secs(1),
            connect_pause: Duration::ZERO,
        };
        Self {
            line: SharedLine::new(SerialOpener::new(path, settings), shared, 0),
            timing: Timing {
                line: settings,
                delay: Duration::ZERO,
                echo: options.echo,
                factor: options.timeout_factor.clamp(1, 20),
            },
        }
    }

    async fn by_number(&self) -> Result<Vec<Found>, Trouble> {
        let mut found = Vec::new();
        let progress = Progress::new();
        for number in PRIMARY {
            let part = 100 * u64::from(number) / u64::from(*PRIMARY.end());
            progress.tell(part, &number.to_string(), found.len());
            let looked = look(&self.line, self.timing, Address::Primary(number)).await?;
            let meter = match looked {
                Looked::Nobody => continue,
                Looked::Meter(header) => of_header(header),
                Looked::Troubled(trouble) => troubled(&trouble),
            };
            found.push(Found {
                address: Some(number),
                ..meter
            });
        }
        Ok(found)
    }

    async fn by_digits(&self, pattern: Secondary) -> Result<Vec<Found>, Trouble> {
        let mut found = Vec::new();
        let mut scan = SecondaryScan::new(pattern);
        let progress = Progress::new();
        while let Some(pattern) = scan.next_pattern() {
            progress.tell(
                scan.progress().into(),
                &pattern.identification(),
                found.len(),
            );
            let looked = look(&self.line, self.timing, Address::Secondary(pattern)).await?;
            let Some((secondary, trouble)) = scan.looked(&looked) else {
                continue;
            };
            let meter = match (&looked, &trouble) {
                (_, Some(trouble)) => troubled(trouble),
                (Looked::Meter(header), None) => of_header(*header),
                (Looked::Nobody | Looked::Troubled(_), None) => Found::default(),
            };
            found.push(Found {
                secondary: Some(secondary.to_string()),
                ..meter
            });
        }
        Ok(found)
    }
}

/// A bar on a terminal; elsewhere a line for each tenth.
enum Progress {
    Bar(ProgressBar),
    Lines(std::cell::Cell<u64>),
}

impl Progress {
    fn new() -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines(std::cell::Cell::new(0));
        }
        let bar = ProgressBar::new(100);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent} %  {msg}") {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// `part`: hundredths.
    fn tell(&self, part: u64, address: &str, found: usize) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(part);
                bar.set_message(format!("{address}, found {found}"));
            }
            Self::Lines(told) if part / 10 > told.get() => {
                told.set(part / 10);
                // Nobody is left to be told when this fails.
                let _ = writeln!(io::stderr(), "{part} %, found {found}");
            }
            Self::Lines(_) => (),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn of_header(header: Option<Header>) -> Found {
    let secondary = header.and_then(|header| header.secondary);
    let words = header
        .map(|header| header.status.words())
        .unwrap_or_default();
    Found {
        secondary: secondary.map(|secondary| secondary.to_string()),
        maker: secondary.map(Secondary::maker),
        medium: secondary.and_then(Secondary::medium_word),
        remarks: words.into_iter().map(str::to_owned).collect(),
        ..Found::default()
    }
}

fn troubled(trouble: &Trouble) -> Found {
    Found {
        remarks: vec![trouble.to_string()],
        ..Found::default()
    }
}

fn print(found: &[Found], out: &mut impl Write) -> Result<(), Failure> {
    let mut table = Table::head(["ADDRESS", "SECONDARY", "MAKER", "MEDIUM", "REMARKS"]);
    for meter in found {
        let address = meter
            .address
            .map_or_else(String::new, |number| number.to_string());
        table.row([
            address,
            meter.secondary.clone().unwrap_or_default(),
            meter.maker.clone().unwrap_or_default(),
            meter.medium.unwrap_or_default().to_owned(),
            meter.remarks.join(", "),
        ]);
    }
    table.print(out, "")?;
    if found.is_empty() {
        writeln!(out, "nobody answers")?;
    }
    Ok(())
}
