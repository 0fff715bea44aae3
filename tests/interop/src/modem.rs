//! A simulated modem that speaks AT commands, for the real ModemManager on a bus of its own.
//!
//! It listens on an abstract socket of the kernel's, which ModemManager takes for a port of a modem
//! when it was started for tests. // 3GPP TS 27.007, TS 27.005

use std::{
    collections::BTreeMap,
    os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::broadcast,
    task::JoinHandle,
};

const PATIENCE: Duration = Duration::from_secs(60);
const SERVICE: &str = "org.freedesktop.ModemManager1";

/// How a modem is registered. // TS 27.007, 7.2
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Registration {
    Home = 1,
    Searching = 2,
    Roaming = 5,
}

/// The simulated modem; ends when it is dropped.
#[derive(Debug)]
pub struct Modem {
    state: Arc<Mutex<State>>,
    /// What it says by itself.
    says: broadcast::Sender<String>,
    /// Of its socket.
    pub name: String,
    listener: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    registration: Registration,
    area: String,
    cell: String,
    /// Of 0 to 31.
    strength: u32,
    /// `None`: unlocked.
    pin: Option<String>,
    pins_tried: Vec<String>,
    messages_read: usize,
    /// PDUs by their slots.
    messages: BTreeMap<u32, String>,
    /// How much is told of registration by itself, per domain.
    wants: BTreeMap<&'static str, u8>,
    contexts: BTreeMap<String, String>,
    dialled: Vec<String>,
}

impl Modem {
    /// Registered at home, in a cell of LTE. `pin`: what its card wants first.
    pub fn start(pin: Option<&str>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("abstract:modem-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = UnixListener::from_std(listener).unwrap();
        let state = Arc::new(Mutex::new(State {
            registration: Registration::Home,
            area: "31C5".into(),
            cell: "0083F7CD".into(),
            strength: 17,
            pin: pin.map(str::to_owned),
            pins_tried: Vec::new(),
            messages_read: 0,
            messages: BTreeMap::new(),
            wants: BTreeMap::new(),
            contexts: BTreeMap::new(),
            dialled: Vec::new(),
        }));
        let (says, _) = broadcast::channel(64);
        let (ours, heard) = (Arc::clone(&state), says.clone());
        let listener = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&ours), heard.subscribe()));
            }
        });
        Self {
            state,
            says,
            name,
            listener,
        }
    }

    pub fn register(&self, registration: Registration) {
        self.state().registration = registration;
        self.tell_registration();
    }

    /// Hexadecimal digits both.
    pub fn move_to(&self, area: &str, cell: &str) {
        {
            let mut state = self.state();
            state.area = area.into();
            state.cell = cell.into();
        }
        self.tell_registration();
    }

    /// A text, in the letters of ASCII.
    pub fn deliver_text(&self, sender: &str, text: &str) {
        let body = format!("00{}{:02X}{}", time(), text.len(), packed(text));
        self.deliver(&format!("04{}00{body}", number(sender)));
    }

    /// Bytes for a port. // TS 23.040, 9.2.3.24.4
    pub fn deliver_bytes(&self, sender: &str, port: u16, bytes: &[u8]) {
        let mut user = vec![6, 5, 4];
        user.extend(port.to_be_bytes());
        user.extend(port.to_be_bytes());
        user.extend(bytes);
        let body = format!("04{}{:02X}{}", time(), user.len(), hex(&user));
        self.deliver(&format!("44{}00{body}", number(sender)));
    }

    fn deliver(&self, pdu: &str) {
        let slot = {
            let mut state = self.state();
            let slot = (1..)
                .find(|slot| !state.messages.contains_key(slot))
                .unwrap();
            // The centre that it came through stands in front.
            let pdu = format!("07914306073011F0{pdu}");
            state.messages.insert(slot, pdu);
            slot
        };
        let _ = self.says.send(format!("+CMTI: \"SM\",{slot}"));
    }

    /// How many messages are kept on the card.
    pub fn messages(&self) -> usize {
        self.state().messages.len()
    }

    /// How many messages were read by themselves so far.
    pub fn messages_read(&self) -> usize {
        self.state().messages_read
    }

    /// Every PIN that was tried, in order.
    pub fn pins_tried(&self) -> Vec<String> {
        self.state().pins_tried.clone()
    }

    fn tell_registration(&self) {
        let lines: Vec<_> = {
            let state = self.state();
            let wanted = state.wants.iter().filter(|(_, much)| **much > 0);
            wanted
                .map(|(domain, much)| state.registered(domain, *much, None))
                .collect()
        };
        for line in lines {
            let _ = self.says.send(line);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Modem {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn serve(
    stream: UnixStream,
    state: Arc<Mutex<State>>,
    mut says: broadcast::Receiver<String>,
) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).split(b'\r');
    loop {
        tokio::select! {
            line = lines.next_segment() => {
                let Ok(Some(line)) = line else { return };
                let command = String::from_utf8_lossy(&line).trim().to_owned();
                if command.is_empty() {
                    continue;
                }
                let answer = state.lock().unwrap().answer(&command);
                let mut text = String::new();
                for line in answer {
                    text += &format!("\r\n{line}\r\n");
                }
                if put(&mut write, &text).await.is_none() {
                    return;
                }
            }
            Ok(said) = says.recv() => {
                if put(&mut write, &format!("\r\n{said}\r\n")).await.is_none() {
                    return;
                }
            }
        }
    }
}

async fn put(write: &mut OwnedWriteHalf, text: &str) -> Option<()> {
    write.write_all(text.as_bytes()).await.ok()
}

/// Commands that are obeyed without a word, by how they begin.
const OBEYED: [&str; 27] = [
    "ATE",
    "ATV",
    "ATX",
    "ATZ",
    "AT&",
    "AT+CMEE=",
    "AT+IFC=",
    "AT+CMGF=",
    "AT+CSCS=",
    "AT+CRC=",
    "AT+CLIP=",
    "AT+CCWA=",
    "AT+CFUN=",
    "AT+CNMI=",
    "AT+CGEREP=",
    "AT+CMER=",
    "AT+CIND=",
    "AT+COPS=0",
    "AT+CTZU",
    "AT+CUSD=",
    "AT+CGATT=",
    "AT+CGACT=",
    "AT+CGAUTH",
    "ATH",
    "AT+WS46=",
    "AT+CSMS",
    "AT+CPMS=",
];

/// Commands and their one answer.
const KNOWN: [(&str, &str); 27] = [
    ("AT+GCAP", "+GCAP: +CGSM"),
    ("ATI", "Manufacturer: Nobody"),
    ("AT+CGMI", "Nobody"),
    ("AT+CGMM", "SIMULATED"),
    ("AT+CGMR", "1.0"),
    ("AT+CGSN", "490154203237518"),
    ("AT+CIMI", "214011234567890"),
    ("AT+WS46=?", "+WS46: (12,22,25,28)"),
    ("AT+CFUN?", "+CFUN: 1"),
    ("AT+CFUN=?", "+CFUN: (0,1,4),(0,1)"),
    ("AT+CLCK=?", "+CLCK: (\"SC\")"),
    ("AT+CLCK=\"SC\",2", "+CLCK: 0"),
    ("AT+CSCS=?", "+CSCS: (\"IRA\",\"UCS2\",\"GSM\")"),
    ("AT+CSCS?", "+CSCS: \"IRA\""),
    ("AT+CMGF=?", "+CMGF: (0,1)"),
    ("AT+CNMI=?", "+CNMI: (0-2),(0-3),(0,2),(0-2),(0,1)"),
    ("AT+CPMS=?", "+CPMS: (\"SM\"),(\"SM\"),(\"SM\")"),
    ("AT+CPMS?", "+CPMS: \"SM\",0,30,\"SM\",0,30,\"SM\",0,30"),
    ("AT+CNUM", "+CNUM: \"\",\"+34600111222\",145"),
    (
        "AT+CIND=?",
        "+CIND: (\"signal\",(0-5)),(\"service\",(0-1)),(\"roam\",(0-1))",
    ),
    ("AT+CSCA?", "+CSCA: \"+34607003110\",145"),
    (
        "AT+CRSM=176,12258,0,0,10",
        "+CRSM: 144,0,\"984301010123456789F0\"",
    ),
    ("AT+CGATT?", "+CGATT: 1"),
    ("AT+CGACT?", "+CGACT: 1,0"),
    ("AT+CREG=?", "+CREG: (0-2)"),
    ("AT+CGREG=?", "+CGREG: (0-2)"),
    ("AT+CEREG=?", "+CEREG: (0-2)"),
];

impl State {
    fn answer(&mut self, command: &str) -> Vec<String> {
        let upper = command.to_uppercase();
        if let Some((_, answer)) = KNOWN.iter().find(|(known, _)| *known == upper) {
            return vec![(*answer).to_owned(), "OK".to_owned()];
        }
        let answer = self.of_state(&upper, command);
        if let Some(mut lines) = answer {
            let is_final = lines.last().is_some_and(|line| line.contains("ERROR"));
            lines.extend((!is_final).then(|| "OK".to_owned()));
            return lines;
        }
        let is_question = upper.ends_with('?');
        let is_obeyed = !is_question && OBEYED.iter().any(|begin| upper.starts_with(begin));
        let last = if is_obeyed || upper == "AT" {
            "OK"
        } else {
            "ERROR"
        };
        vec![last.to_owned()]
    }

    fn of_state(&mut self, upper: &str, command: &str) -> Option<Vec<String>> {
        for domain in ["CREG", "CGREG", "CEREG"] {
            if upper == format!("AT+{domain}?") {
                let much = self.wants.get(domain).copied().unwrap_or_default();
                return Some(vec![self.registered(domain, much, Some(much))]);
            }
            if let Some(much) = upper.strip_prefix(&format!("AT+{domain}=")) {
                self.wants.insert(domain, much.parse().ok()?);
                return Some(vec![]);
            }
        }
        if upper == "AT+CSQ" {
            return Some(vec![format!("+CSQ: {},99", self.strength)]);
        }
        if upper == "AT+COPS?" || upper.starts_with("AT+COPS=3") {
            return Some(vec![self.operator(upper)]);
        }
        if upper == "AT+CGDCONT?" {
            let context = |(id, apn)| format!("+CGDCONT: {id},\"IP\",\"{apn}\",\"\",0,0");
            return Some(self.contexts.iter().map(context).collect());
        }
        if upper == "AT+CGDCONT=?" {
            let kinds = ["IP", "IPV6", "IPV4V6"];
            let range = |kind| format!("+CGDCONT: (1-11),\"{kind}\",,,(0-2),(0-3)");
            return Some(kinds.map(range).to_vec());
        }
        if let Some(context) = command.strip_prefix("AT+CGDCONT=") {
            let mut fields = context
                .split(',')
                .map(|field| field.trim_matches('"').to_owned());
            let id = fields.next()?;
            self.contexts.insert(id, fields.nth(1).unwrap_or_default());
            return Some(vec![]);
        }
        if upper.starts_with("ATD") {
            self.dialled.push(command.to_owned());
            return Some(vec!["NO CARRIER ERROR".to_owned()]);
        }
        self.of_card(upper)
    }

    fn of_card(&mut self, upper: &str) -> Option<Vec<String>> {
        if upper == "AT+CPIN?" {
            let wants = if self.pin.is_some() {
                "SIM PIN"
            } else {
                "READY"
            };
            return Some(vec![format!("+CPIN: {wants}")]);
        }
        if let Some(pin) = upper.strip_prefix("AT+CPIN=") {
            let pin = pin.trim_matches('"').to_owned();
            let fits = self.pin.as_ref() == Some(&pin);
            self.pins_tried.push(pin);
            if !fits {
                // Incorrect password. // TS 27.007, 9.2.1
                return Some(vec!["+CME ERROR: 16".to_owned()]);
            }
            self.pin = None;
            return Some(vec![]);
        }
        let listed = |(slot, pdu): (&u32, &String)| {
            [
                format!("+CMGL: {slot},0,,{}", pdu.len() / 2 - 8),
                pdu.clone(),
            ]
        };
        if upper.starts_with("AT+CMGL=") {
            return Some(self.messages.iter().flat_map(listed).collect());
        }
        if let Some(slot) = upper.strip_prefix("AT+CMGR=") {
            self.messages_read += 1;
            let Some(pdu) = self.messages.get(&slot.parse().ok()?) else {
                return Some(vec!["+CMS ERROR: 321".to_owned()]);
            };
            return Some(vec![
                format!("+CMGR: 0,,{}", pdu.len() / 2 - 8),
                pdu.clone(),
            ]);
        }
        let slot = upper.strip_prefix("AT+CMGD=")?;
        let slot = slot.split(',').next()?.parse().ok()?;
        self.messages.remove(&slot);
        Some(vec![])
    }

    fn is_registered(&self) -> bool {
        matches!(
            self.registration,
            Registration::Home | Registration::Roaming
        )
    }

    fn registered(&self, domain: &str, much: u8, asked: Option<u8>) -> String {
        let asked = asked.map(|much| format!("{much},")).unwrap_or_default();
        let mut line = format!("+{domain}: {asked}{}", self.registration as u8);
        if much == 2 && self.is_registered() {
            // 7: E-UTRAN
            line += &format!(",\"{}\",\"{}\",7", self.area, self.cell);
        }
        line
    }

    fn operator(&self, command: &str) -> String {
        if !self.is_registered() {
            return "+COPS: 0".to_owned();
        }
        if command.starts_with("AT+COPS=3,0") {
            return "+COPS: 0,0,\"Nobody Mobile\",7".to_owned();
        }
        // Abroad, as ModemManager takes a network of the card's own country for home.
        let network = match self.registration {
            Registration::Roaming => "26201",
            Registration::Home | Registration::Searching => "21401",
        };
        format!("+COPS: 0,2,\"{network}\",7")
    }
}

/// Length, type and digits in pairs of a number. // TS 23.040, 9.1.2.5
fn number(number: &str) -> String {
    let digits = number.trim_start_matches('+');
    let kind = if number.starts_with('+') { "91" } else { "81" };
    format!("{:02X}{kind}{}", digits.len(), swapped(digits))
}

/// Some time of 2026.
fn time() -> String {
    swapped("26112307300000")
}

fn swapped(digits: &str) -> String {
    let mut digits: Vec<char> = digits.chars().collect();
    if digits.len() % 2 == 1 {
        digits.push('F');
    }
    digits
        .chunks(2)
        .flat_map(|pair| [pair[1], pair[0]])
        .collect()
}

/// Seven bits a letter. // TS 23.038, 6.1.2.1
fn packed(text: &str) -> String {
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for letter in text.bytes() {
        bits |= u32::from(letter & 0x7f) << count;
        count += 7;
        while count >= 8 {
            bytes.push(bits as u8);
            bits >>= 8;
            count -= 8;
        }
    }
    if count > 0 {
        bytes.push(bits as u8);
    }
    hex(&bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// A bus of its own, on which everybody may do everything.
#[derive(Debug)]
pub struct Bus {
    daemon: Child,
    pub address: String,
}

impl Bus {
    pub async fn start(directory: &Path) -> Self {
        let socket = directory.join("bus");
        let text = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\"><busconfig>\
             <listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
             <allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy></busconfig>",
            socket.display()
        );
        let config = directory.join("bus.conf");
        crate::write(&config, text);
        let daemon = Command::new(program("dbus-daemon"))
            .arg(format!("--config-file={}", config.display()))
            .arg("--nofork")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let bus = Self {
            daemon,
            address: format!("unix:path={}", socket.display()),
        };
        drop(bus.connect().await);
        bus
    }

    /// As soon as it listens.
    pub async fn connect(&self) -> zbus::Connection {
        let connect = async {
            loop {
                let builder = zbus::connection::Builder::address(self.address.as_str());
                if let Ok(connection) = builder.build().await {
                    return connection;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, connect).await.unwrap()
    }
}

impl Bus {
    /// The first that ModemManager has found.
    pub async fn enable_modem(&self) {
        let connection = self.connect().await;
        let enable = connection.call_method(
            Some(SERVICE),
            "/org/freedesktop/ModemManager1/Modem/0",
            Some("org.freedesktop.ModemManager1.Modem"),
            "Enable",
            &true,
        );
        enable.await.unwrap();
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// The real ModemManager.
#[derive(Debug)]
pub struct ModemManager(Child);

impl ModemManager {
    /// With one modem.
    pub async fn start(bus: &Bus, modem: &Modem, directory: &Path) -> Self {
        let log = std::fs::File::create(directory.join("modemmanager.log")).unwrap();
        let daemon = Command::new(program("ModemManager"))
            .args([
                "--test-session",
                "--no-auto-scan",
                "--test-enable",
                "--test-no-udev",
                "--test-no-suspend-resume",
                "--test-no-qrtr",
                "--debug",
            ])
            .env("DBUS_SESSION_BUS_ADDRESS", &bus.address)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let manager = Self(daemon);
        let connection = bus.connect().await;
        let port = [modem.name.as_str()];
        let found = async {
            loop {
                let profile = ("simulated", "generic", &port[..]);
                let set = connection.call_method(
                    Some(SERVICE),
                    "/org/freedesktop/ModemManager1",
                    Some("org.freedesktop.ModemManager1.Test"),
                    "SetProfile",
                    &profile,
                );
                if set.await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap();
        manager
    }
}

impl Drop for ModemManager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where Debian has it.
fn program(name: &str) -> std::path::PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"];
    let paths = places.map(|place| Path::new(place).join(name));
    let found = paths.into_iter().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: run `tests/install managers`"))
}
