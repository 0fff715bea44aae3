//! Against name servers of this process, on the loopback.

use std::{fs, net::TcpListener, path::Path};

use tokio::time::Instant;

use super::*;

/// What a name server says to a question: of which kind, for which name.
type Zone = fn(&str, u16) -> Vec<u8>;

const NOTHING: [u8; 2] = [0x80, 0];

/// Without any files.
fn resolver(port: u16) -> Resolver {
    let nowhere = std::env::temp_dir().join("lamplighter-nowhere");
    Resolver {
        hosts: nowhere.join("hosts"),
        resolv_conf: nowhere.join("resolv.conf"),
        uplinks: nowhere.join("uplinks"),
        port,
    }
}

/// A file that goes with its owner.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("lamplighter-resolve-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        crate::atomic::write(&path, text.as_bytes(), 0o600).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn way(v4: bool, v6: bool) -> Way {
    Way {
        interface: "none0".to_owned(),
        index: 7,
        v4,
        v6,
        nat64: v6 && !v4,
        name_servers: vec![Ipv4Addr::LOCALHOST.into()],
    }
}

/// Of a question: its name, its kind, and where it ends.
fn parse(question: &[u8]) -> (String, u16, usize) {
    let (mut at, mut name) = (12, String::new());
    while question[at] != 0 {
        let length = usize::from(question[at]);
        name += std::str::from_utf8(&question[at + 1..=at + length]).unwrap();
        name += ".";
        at += length + 1;
    }
    (name, u16::from(question[at + 2]), at + 5)
}

/// `said`: flags, code, and records behind the question.
fn reply(question: &[u8], said: &[u8]) -> Vec<u8> {
    let (_, _, end) = parse(question);
    let mut bytes = question[..end].to_vec();
    bytes[2] |= said[0];
    bytes[3] |= said[1];
    bytes[7] = u8::from(said.len() > 2);
    bytes.extend_from_slice(&said[2..]);
    bytes
}

fn record(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = NOTHING.to_vec();
    bytes.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0]);
    bytes.push(u8::try_from(data.len()).unwrap());
    bytes.extend_from_slice(data);
    bytes
}

fn a(last: u8) -> Vec<u8> {
    record(1, &[192, 0, 2, last])
}

fn aaaa(text: &str) -> Vec<u8> {
    record(28, &text.parse::<Ipv6Addr>().unwrap().octets())
}

/// A name server on the loopback; its port.
async fn serve(zone: Zone) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let question = &buffer[..length];
            let (name, kind, _) = parse(question);
            let said = zone(&name, kind);
            if !said.is_empty() {
                // A forged one first.
                let mut forged = reply(question, &a(66));
                forged[0] ^= 1;
                socket.send_to(&forged, from).await.unwrap();
                socket.send_to(&reply(question, &said), from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut question = vec![0; length.into()];
            stream.read_exact(&mut question).await.unwrap();
            let answer = reply(&question, &a(44));
            stream
                .write_u16(u16::try_from(answer.len()).unwrap())
                .await
                .unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    });
    port
}

async fn look_up(zone: Zone, host: &str, way: &Way) -> Result<Vec<String>, NoAddress> {
    let resolver = resolver(serve(zone).await);
    let found = resolver.addresses(host, way).await?;
    Ok(found.iter().map(IpAddr::to_string).collect())
}

fn ok(addresses: &[&str]) -> Result<Vec<String>, NoAddress> {
    Ok(addresses.iter().map(|one| (*one).to_owned()).collect())
}

#[tokio::test]
async fn both_families_are_asked_and_ipv6_goes_first() {
    let zone: Zone = |name, kind| {
        assert_eq!(name, "lw.example.");
        if kind == 1 { a(1) } else { aaaa("2001:db8::1") }
    };
    let both = look_up(zone, "LW.example", &way(true, true)).await;
    assert_eq!(both, ok(&["2001:db8::1", "192.0.2.1"]));
    let v4 = look_up(zone, "lw.example.", &way(true, false)).await;
    assert_eq!(v4, ok(&["192.0.2.1"]));
    let none = look_up(zone, "lw.example.", &way(false, false)).await;
    assert_eq!(none, Err(NoAddress::Family));
}

#[tokio::test]
async fn a_server_that_is_mute_about_ipv6_costs_a_moment_only() {
    let zone: Zone = |_, kind| if kind == 1 { a(1) } else { Vec::new() };
    let begun = Instant::now();
    let found = look_up(zone, "lw.example", &way(true, true)).await;
    assert_eq!(found, ok(&["192.0.2.1"]));
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_name_that_is_not_known_is_told_at_once() {
    let begun = Instant::now();
    let found = look_up(|_, _| vec![0x80, 3], "no.example", &way(true, true)).await;
    assert_eq!(found, Err(NoAddress::Name));
    let found = look_up(|_, _| vec![0x80, 5], "no.example", &way(true, true)).await;
    assert_eq!(found, Err(NoAddress::Silence), "it refuses");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_mute_name_server_holds_nobody_up_for_longer_than_the_patience() {
    let begun = Instant::now();
    let found = look_up(|_, _| Vec::new(), "lw.example", &way(true, true)).await;
    assert_eq!(found, Err(NoAddress::Silence));
    let took = begun.elapsed();
    assert!(took < PATIENCE + Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn what_is_cut_is_asked_for_again_over_tcp() {
    let found = look_up(|_, _| vec![0x82, 0], "lw.example", &way(true, false)).await;
    assert_eq!(found, ok(&["192.0.2.44"]));
}

#[tokio::test]
async fn aliases_are_followed_though_not_for_ever() {
    let zone: Zone = |name, _| match name {
        "lw.example." => record(5, b"\x01a\x07example\0"),
        "a.example." => a(3),
        _ => record(5, b"\x04loop\x07example\0"),
    };
    let found = look_up(zone, "lw.example", &way(true, false)).await;
    assert_eq!(found, ok(&["192.0.2.3"]));
    let found = look_up(zone, "x.example", &way(true, false)).await;
    assert_eq!(found, Err(NoAddress::Name));
}

#[tokio::test]
async fn behind_a_network_of_ipv6_servers_of_ipv4_are_reached_through_its_translator() {
    let zone: Zone = |name, kind| match (name, kind) {
        ("ipv4only.arpa.", 28) => aaaa("64:ff9b::c000:aa"),
        ("four.example.", 1) => a(33),
        ("six.example.", 28) => aaaa("2001:db8::6"),
        _ => NOTHING.to_vec(),
    };
    let ipv6 = way(false, true);
    let found = look_up(zone, "four.example", &ipv6).await;
    assert_eq!(found, ok(&["64:ff9b::c000:221"]));
    let found = look_up(zone, "192.0.2.33", &ipv6).await;
    assert_eq!(found, ok(&["64:ff9b::c000:221"]));
    let found = look_up(zone, "six.example", &ipv6).await;
    assert_eq!(found, ok(&["2001:db8::6"]));
    let none = look_up(zone, "none.example", &ipv6).await;
    assert_eq!(none, Err(NoAddress::Name));
    let without: Zone = |_, _| NOTHING.to_vec();
    let found = look_up(without, "192.0.2.33", &ipv6).await;
    assert_eq!(found, Err(NoAddress::Family));
}

#[tokio::test]
async fn the_hosts_file_goes_first() {
    let text = "# x\n192.0.2.8 other LW.example # lw.wrong\n2001:db8::8 lw.example\n";
    let file = File::new("hosts", text);
    let mut resolver = resolver(9);
    resolver.hosts.clone_from(&file.0);
    let found = resolver.addresses("lw.example", &way(true, false)).await;
    assert_eq!(found, Ok(vec!["192.0.2.8".parse().unwrap()]));
    let found = resolver.addresses("localhost", &way(false, false)).await;
    assert!(found.unwrap().iter().all(IpAddr::is_loopback));
}

#[test]
fn files_of_any_form_are_read() {
    let servers = name_servers("nameserver 192.0.2.1\n options x\nnameserver x\nnameserver ::1");
    assert_eq!(servers.len(), 2);
    assert!(read(&Path::new("/nowhere").to_path_buf()).is_err());
}

#[test]
fn without_servers_of_its_own_a_bearer_asks_those_of_the_system() {
    let mut resolver = resolver(53);
    let own = File::new("own", "nameserver 127.0.0.53\n");
    let uplinks = "nameserver 192.0.2.1\nnameserver 2001:db8::1\n";
    let uplinks = File::new("uplinks", uplinks);
    resolver.resolv_conf.clone_from(&own.0);
    resolver.uplinks.clone_from(&uplinks.0);
    let way = Way {
        name_servers: Vec::new(),
        ..way(true, false)
    };
    let servers = resolver.servers(&way);
    let expected: [SocketAddr; 2] = [([192, 0, 2, 1], 53).into(), ([127, 0, 0, 53], 53).into()];
    assert_eq!(servers, expected);
}
