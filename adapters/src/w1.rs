//! What the kernel shows as files: `adapter = "w1"`, temperatures of the 1-Wire bus, and
//! `adapter = "system"`, what the machine measures of itself.
//!
//! A sensor of the 1-Wire bus takes 750 ms for a value, and a bus that hangs longer: files are read on
//! a thread of their own, one at a time for each device.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use lamplighter_model::{
    DataType, Decimal, InstanceAddress, ResourceAddress, ResourceId, Sample, Value,
    device::{Assignment, Declaration, Fault},
    object::Operations,
};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};

use crate::{Adapter, Clock, Limits, Wake};

/// Longest file that is read.
const FILE_MAX: u64 = 4096;

/// What a DS18B20 and its like say before they have measured: never believed, but for a place that was
/// as hot before.
const POWER_ON: i64 = 85_000;
const NEARLY_AS_HOT: i64 = 80_000;

/// What these sensors can measure, in thousandths of a degree.
const RANGE: std::ops::RangeInclusive<i64> = -55_000..=125_000;

/// Where a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The processor, in degrees Celsius.
    CpuTemperature,
    /// How much of the file system with this directory is taken, in percent.
    DiskUsed(PathBuf),
    /// A number in a file, times a factor.
    File(PathBuf, Decimal),
    /// How much memory is taken, in percent.
    MemoryUsed,
    /// The supply has been too low (Raspberry Pi).
    Undervoltage,
    /// A sensor of the 1-Wire bus, by its name: `28-00000abcdef0`.
    W1(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct FilePoint {
    pub address: ResourceAddress,
    pub source: Source,
    pub data_type: DataType,
}

/// A device of files.
#[derive(Debug)]
pub struct Files {
    points: Vec<FilePoint>,
    /// Where the file system begins; another place in tests.
    root: PathBuf,
    every: Duration,
    /// When each instance is due.
    due: BTreeMap<InstanceAddress, Instant>,
    /// The last good value of each sensor, in thousandths.
    last: BTreeMap<ResourceAddress, i64>,
    reading: Option<JoinHandle<Read>>,
    clock: Clock,
}

type Read = Vec<(FilePoint, Result<Decimal, Fault>)>;

impl Files {
    pub fn new(points: Vec<FilePoint>, root: PathBuf, every: Duration, clock: Clock) -> Self {
        let now = Instant::now();
        let instances = points.iter().map(|point| point.address.instance());
        Self {
            due: instances.map(|instance| (instance, now)).collect(),
            points,
            root,
            every,
            last: BTreeMap::new(),
            reading: None,
            clock,
        }
    }

    /// As the supervisor in front of the adapter takes them.
    pub fn limits(every: Duration) -> Limits {
        Limits {
            max_age: every,
            stale_after: Some(3 * every),
            operation: Duration::from_secs(10),
            ..Limits::default()
        }
    }

    fn judge(&mut self, point: &FilePoint, value: Decimal) -> Result<Value, Fault> {
        if matches!(point.source, Source::W1(_)) {
            let thousandths = value.scaled(3).and_then(Decimal::to_integer);
            let thousandths = thousandths.ok_or_else(|| not_understood(&value.to_string()))?;
            if !RANGE.contains(&thousandths) {
                let words = format!("{value} °C is outside what the sensor can measure");
                return Err(Fault::Device(words));
            }
            let was_hot = self.last.get(&point.address);
            if thousandths == POWER_ON && was_hot.is_none_or(|last| *last < NEARLY_AS_HOT) {
                let words = "it says 85 °C, as before it has measured: its supply is weak";
                return Err(Fault::Device(words.to_owned()));
            }
            self.last.insert(point.address, thousandths);
        }
        let value = match point.data_type {
            DataType::Boolean => Value::Boolean(value.mantissa != 0),
            DataType::Corelnk
            | DataType::Float
            | DataType::Integer
            | DataType::None
            | DataType::Objlnk
            | DataType::Opaque
            | DataType::String
            | DataType::Time
            | DataType::Unsigned => Value::Decimal(value),
        };
        let fitted = value.fit(point.data_type);
        fitted.map_err(|error| Fault::Device(error.to_string()))
    }
}

impl Adapter for Files {
    fn declared(&self) -> Vec<Declaration> {
        let declaration = |point: &FilePoint| Declaration {
            address: point.address,
            operations: Operations::R,
        };
        self.points.iter().map(declaration).collect()
    }

    async fn read(
        &mut self,
        instance: InstanceAddress,
        resources: &[ResourceId],
    ) -> Result<Vec<Sample>, Fault> {
        if let Some(reading) = &mut self.reading {
            // One that was given up: there is one thread for a device.
            let _ = reading.await;
            self.reading = None;
        }
        let asked = self.points.iter().filter(|point| {
            point.address.instance() == instance && resources.contains(&point.address.path.resource)
        });
        let (asked, root): (Vec<_>, _) = (asked.cloned().collect(), self.root.clone());
        let reading = spawn_blocking(move || {
            let read = |point: FilePoint| {
                let value = point.source.read(&root);
                (point, value)
            };
            asked.into_iter().map(read).collect()
        });
        let read: Read = self
            .reading
            .insert(reading)
            .await
            .map_err(|_| Fault::Unreachable)?;
        self.reading = None;
        let (mut samples, mut fault) = (Vec::new(), Fault::NoValue);
        for (point, value) in read {
            match value.and_then(|value| self.judge(&point, value)) {
                Ok(value) => {
                    samples.push(Sample::good(point.address, value, self.clock.stamp()));
                }
                Err(why) => fault = why,
            }
        }
        if samples.is_empty() {
            return Err(fault);
        }
        Ok(samples)
    }

    async fn write(&mut self, _: &[Assignment]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn execute(&mut self, _: ResourceAddress, _: &[u8]) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    async fn wait(&mut self) -> Result<Wake, Fault> {
        let next = self.due.iter().min_by_key(|(_, due)| **due);
        let Some((instance, due)) = next.map(|(instance, due)| (*instance, *due)) else {
            return std::future::pending().await;
        };
        sleep_until(due).await;
        self.due.insert(instance, Instant::now() + self.every);
        let points = self.points.iter();
        let points = points.filter(|point| point.address.instance() == instance);
        let resources = points.map(|point| point.address.path.resource).collect();
        Ok(Wake::Due(instance, resources))
    }
}

impl Source {
    fn read(&self, root: &Path) -> Result<Decimal, Fault> {
        match self {
            Self::CpuTemperature => thousandths(&cpu(root)?),
            Self::DiskUsed(directory) => disk_used(&below(root, directory)),
            Self::File(file, factor) => {
                let number = number(&text(&below(root, file))?)?;
                let mantissa = number.mantissa.checked_mul(factor.mantissa);
                let exponent = number.exponent.checked_add(factor.exponent);
                let product = mantissa.zip(exponent);
                let product = product.map(|(mantissa, exponent)| Decimal::new(mantissa, exponent));
                product.ok_or_else(|| not_understood(&number.to_string()))
            }
            Self::MemoryUsed => memory_used(&text(&root.join("proc/meminfo"))?),
            Self::Undervoltage => undervoltage(root),
            Self::W1(name) => w1(&root.join("sys/bus/w1/devices").join(name)),
        }
    }
}

/// The newer file says the value; the older one whether its checksum was right, too.
fn w1(device: &Path) -> Result<Decimal, Fault> {
    match text(&device.join("temperature")) {
        Ok(value) => thousandths(&value),
        Err(Fault::Unreachable) => {
            let slave = text(&device.join("w1_slave"))?;
            if !slave
                .lines()
                .next()
                .is_some_and(|line| line.ends_with("YES"))
            {
                return Err(Fault::Device("its checksum is wrong".to_owned()));
            }
            let value = slave.split("t=").nth(1);
            thousandths(value.ok_or_else(|| not_understood(&slave))?)
        }
        Err(fault) => Err(fault),
    }
}

/// The zone of the processor by its name, else the first.
fn cpu(root: &Path) -> Result<String, Fault> {
    let entries = fs::read_dir(root.join("sys/class/thermal"));
    let entries = entries.map_err(|_| Fault::Unreachable)?;
    let zones = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut zones: Vec<PathBuf> = zones
        .filter(|zone| {
            let name = zone.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("thermal_zone"))
        })
        .collect();
    zones.sort();
    let is_cpu = |zone: &&PathBuf| {
        let kind = text(&zone.join("type")).unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        ["cpu", "x86_pkg", "soc"]
            .iter()
            .any(|word| kind.contains(word))
    };
    let zone = zones.iter().find(is_cpu).or_else(|| zones.first());
    text(&zone.ok_or(Fault::Unreachable)?.join("temp"))
}

fn disk_used(directory: &Path) -> Result<Decimal, Fault> {
    let disk = nix::sys::statvfs::statvfs(directory).map_err(|_| Fault::Unreachable)?;
    let used = disk.blocks().saturating_sub(disk.blocks_free());
    // As `df` counts: what is reserved for root is not there for anybody.
    percent(used, used + disk.blocks_available())
}

fn memory_used(meminfo: &str) -> Result<Decimal, Fault> {
    let of = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let both = of("MemTotal:").zip(of("MemAvailable:"));
    let (total, available) = both.ok_or_else(|| not_understood(meminfo))?;
    percent(total.saturating_sub(available), total)
}

/// The driver of the Raspberry Pi's firmware has one alarm.
fn undervoltage(root: &Path) -> Result<Decimal, Fault> {
    let entries = fs::read_dir(root.join("sys/class/hwmon")).map_err(|_| Fault::Unreachable)?;
    for entry in entries.flatten() {
        let chip = entry.path();
        if text(&chip.join("name")).is_ok_and(|name| name.trim() == "rpi_volt") {
            return number(&text(&chip.join("in0_lcrit_alarm"))?);
        }
    }
    Err(Fault::Unreachable)
}

/// To a tenth.
fn percent(part: u64, whole: u64) -> Result<Decimal, Fault> {
    let thousandths = (u128::from(part) * 1000).checked_div(u128::from(whole));
    let thousandths = thousandths.and_then(|it| i64::try_from(it).ok());
    let thousandths = thousandths.ok_or(Fault::NoValue)?;
    Ok(Decimal::new(thousandths, -1))
}

fn thousandths(text: &str) -> Result<Decimal, Fault> {
    let number = number(text)?;
    number.scaled(-3).ok_or_else(|| not_understood(text))
}

fn number(text: &str) -> Result<Decimal, Fault> {
    let number = text.trim().parse();
    number.map_err(|_| not_understood(text))
}

fn text(file: &Path) -> Result<String, Fault> {
    use io::Read as _;
    let opened = fs::File::open(file).map_err(|error| of_error(&error))?;
    let mut text = String::new();
    let read = opened.take(FILE_MAX).read_to_string(&mut text);
    read.map_err(|error| of_error(&error))?;
    Ok(text)
}

/// A sensor that is not there has no file; one that is disturbed has one that cannot be read.
fn of_error(error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::NotFound {
        return Fault::Unreachable;
    }
    Fault::Device(format!("it cannot be read: {error}"))
}

fn not_understood(text: &str) -> Fault {
    let text: String = text.trim().chars().take(40).collect();
    Fault::Device(format!("it says `{text}`, which is no value"))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use lamplighter_model::Stamp;

    use super::*;

    const ROOM: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);

    /// A file system of its own, gone at the end.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("w1-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        #[expect(
            clippy::disallowed_methods,
            reason = "no power cut to fear: nobody reads it before it is whole"
        )]
        fn put(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn device(&self, source: Source, data_type: DataType) -> Files {
            let point = FilePoint {
                address: ROOM,
                source,
                data_type,
            };
            let clock = Clock::new(Stamp::default);
            Files::new(vec![point], self.0.clone(), Duration::from_secs(30), clock)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    async fn value(device: &mut Files) -> Result<Value, Fault> {
        let read = device.read(ROOM.instance(), &[ROOM.path.resource]).await?;
        Ok(read[0].value.clone())
    }

    fn decimal(mantissa: i64, exponent: i8) -> Result<Value, Fault> {
        Ok(Value::Decimal(Decimal::new(mantissa, exponent)))
    }

    fn words(result: Result<Value, Fault>) -> String {
        match result {
            Err(Fault::Device(words)) => words,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_sensor_of_the_wire_is_believed_when_it_has_measured() {
        let tree = Tree::new("sensor");
        let file = "sys/bus/w1/devices/28-00000abcdef0/temperature";
        let mut device = tree.device(Source::W1("28-00000abcdef0".to_owned()), DataType::Float);
        assert_eq!(value(&mut device).await, Err(Fault::Unreachable));
        tree.put(file, "85000\n");
        assert!(words(value(&mut device).await).contains("before it has measured"));
        tree.put(file, "21562\n");
        assert_eq!(value(&mut device).await, decimal(21_562, -3));
        tree.put(file, "-1250\n");
        assert_eq!(value(&mut device).await, decimal(-125, -2));
        for wrong in ["127937\n", "", "warm\n"] {
            tree.put(file, wrong);
            words(value(&mut device).await);
        }
        tree.put(file, "84000\n");
        assert_eq!(value(&mut device).await, decimal(84, 0));
        tree.put(file, "85000\n");
        assert_eq!(
            value(&mut device).await,
            decimal(85, 0),
            "it was as hot before"
        );
    }

    #[tokio::test]
    async fn the_file_of_older_kernels_has_a_checksum() {
        let tree = Tree::new("slave");
        let file = "sys/bus/w1/devices/28-00000abcdef0/w1_slave";
        let mut device = tree.device(Source::W1("28-00000abcdef0".to_owned()), DataType::Float);
        let bytes = "59 01 4b 46 7f ff 0c 10 a1";
        tree.put(file, &format!("{bytes} : crc=a1 YES\n{bytes} t=21562\n"));
        assert_eq!(value(&mut device).await, decimal(21_562, -3));
        tree.put(file, &format!("{bytes} : crc=a2 NO\n{bytes} t=21562\n"));
        assert_eq!(words(value(&mut device).await), "its checksum is wrong");
    }

    #[tokio::test]
    async fn the_machine_says_how_it_is() {
        let tree = Tree::new("machine");
        let mut cpu = tree.device(Source::CpuTemperature, DataType::Float);
        assert_eq!(value(&mut cpu).await, Err(Fault::Unreachable));
        tree.put("sys/class/thermal/thermal_zone0/type", "acpitz\n");
        tree.put("sys/class/thermal/thermal_zone0/temp", "27800\n");
        assert_eq!(value(&mut cpu).await, decimal(278, -1));
        tree.put("sys/class/thermal/thermal_zone1/type", "cpu-thermal\n");
        tree.put("sys/class/thermal/thermal_zone1/temp", "48312\n");
        assert_eq!(value(&mut cpu).await, decimal(48_312, -3));

        let mut memory = tree.device(Source::MemoryUsed, DataType::Float);
        tree.put(
            "proc/meminfo",
            "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n",
        );
        assert_eq!(value(&mut memory).await, decimal(75, 0));

        let mut supply = tree.device(Source::Undervoltage, DataType::Boolean);
        tree.put("sys/class/hwmon/hwmon1/name", "rpi_volt\n");
        tree.put("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
        assert_eq!(value(&mut supply).await, Ok(Value::Boolean(true)));

        let source = Source::File("/sys/x/in1_input".into(), Decimal::new(1, -3));
        let mut file = tree.device(source, DataType::Float);
        tree.put("sys/x/in1_input", "12034\n");
        assert_eq!(value(&mut file).await, decimal(12_034, -3));

        let mut disk = tree.device(Source::DiskUsed("/".into()), DataType::Float);
        let used = value(&mut disk).await.unwrap().as_f64().unwrap();
        assert!((0.0..=100.0).contains(&used), "{used}");
    }

    #[tokio::test(start_paused = true)]
    async fn every_instance_is_due_once_in_a_period() {
        let tree = Tree::new("due");
        let mut device = tree.device(Source::CpuTemperature, DataType::Float);
        let begin = Instant::now();
        for round in 0..3 {
            let wake = device.wait().await.unwrap();
            assert_eq!(wake, Wake::Due(ROOM.instance(), vec![ROOM.path.resource]));
            assert_eq!(begin.elapsed().as_secs(), round * 30);
        }
    }
}
