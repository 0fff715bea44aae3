//! Links that leave by a device, in a network of their own: a box with two uplinks to one server.
//! Only where the tests may make one.

use std::{
    future::poll_fn,
    net::{IpAddr, UdpSocket},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use lamplighter_lwm2m::boundary::{ClientId, LinkEvent, LinkId};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::{geteuid, getpid, gettid},
};

use super::{LinkKey, Links};
use crate::bearer::{BearerId, Prober, Reason, Way};

const SERVER: &str = "198.18.0.1";
const SERVER6: &str = "fd00:99::1";

fn ip(line: &str) {
    let status = Command::new("ip").args(line.split(' ')).status().unwrap();
    assert!(status.success(), "ip {line}");
}

/// The other side: it tells everybody from which address he came, and resets CoAP pings.
fn server(ready: &mpsc::Sender<String>, go: &mpsc::Receiver<()>) {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let place = format!("/proc/{}/task/{}/ns/net", getpid(), gettid());
    ready.send(place).unwrap();
    go.recv().unwrap();
    ip("link set lo up");
    ip(&format!("address add {SERVER}/32 dev lo"));
    ip(&format!("address add {SERVER6}/128 dev lo nodad"));
    for net in 1..=2 {
        ip(&format!("link set s{net} up"));
        ip(&format!("address add 10.{net}.0.1/24 dev s{net}"));
        ip(&format!("address add fd00:{net}::1/64 dev s{net} nodad"));
    }
    for address in [SERVER, SERVER6] {
        let socket = UdpSocket::bind((address, 5683)).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let said = match &buffer[..length] {
                    [0x40, 0, high, low] => vec![0x70, 0, *high, *low],
                    _ => from.ip().to_string().into_bytes(),
                };
                let _ = socket.send_to(&said, from);
            }
        });
    }
    ready.send(String::new()).unwrap();
    // Until the test is over.
    let _ = go.recv();
}

/// Runs in a box with the uplinks `c1`, which the kernel prefers, and `c2`.
fn in_box<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    if !geteuid().is_root() {
        return;
    }
    let boxed = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let (ready, is_ready) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        let peer = thread::spawn(move || server(&ready, &may_go));
        let place = is_ready.recv().unwrap();
        ip("link set lo up");
        for net in 1..=2 {
            ip(&format!("link add c{net} type veth peer name s{net}"));
            ip(&format!("link set s{net} netns {place}"));
            ip(&format!("link set c{net} up"));
            ip(&format!("address add 10.{net}.0.2/24 dev c{net}"));
            ip(&format!("address add fd00:{net}::2/64 dev c{net} nodad"));
        }
        go.send(()).unwrap();
        is_ready.recv().unwrap();
        for net in 1..=2 {
            ip(&format!(
                "route add default via 10.{net}.0.1 dev c{net} metric {net}"
            ));
            ip(&format!(
                "-6 route add default via fd00:{net}::1 dev c{net} metric {net}"
            ));
        }
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(test());
        drop(go);
        peer.join().unwrap();
    });
    boxed.join().unwrap();
}

fn way(interface: &str) -> Way {
    Way {
        interface: interface.to_owned(),
        index: nix::net::if_::if_nametoindex(interface).unwrap_or(0),
        v4: true,
        v6: true,
        nat64: false,
        name_servers: Vec::new(),
    }
}

const fn key(link: u64) -> LinkKey {
    (ClientId(0), LinkId(link))
}

/// Opens a link and asks the server who we are.
async fn asked(links: &mut Links, id: u64, host: &str, way: Option<Way>) -> IpAddr {
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let uri = format!("coap://{bracketed}").parse().unwrap();
    match way {
        Some(way) => links.open_over(key(id), uri, way),
        None => links.open(key(id), uri),
    }
    let opened = poll_fn(|context| links.poll_opened(context)).await;
    assert_eq!(opened, (key(id), LinkEvent::Up));
    assert_eq!(links.transmit(key(id), b"who am I?"), None);
    let (readable, found) = poll_fn(|context| links.poll_readable(context)).await;
    assert_eq!((readable, found), (key(id), Ok(())));
    let said = links.receive(key(id)).unwrap().unwrap();
    assert_eq!(links.receive(key(id)), None);
    String::from_utf8(said).unwrap().parse().unwrap()
}

#[test]
fn a_link_leaves_by_its_bearer_whatever_the_kernel_prefers() {
    in_box(async || {
        let mut links = Links::default();
        for (host, net) in [(SERVER, "10"), (SERVER6, "fd00")] {
            let own = |n: u8| match net {
                "10" => format!("10.{n}.0.2").parse::<IpAddr>().unwrap(),
                _ => format!("fd00:{n}::2").parse().unwrap(),
            };
            assert_eq!(asked(&mut links, 1, host, None).await, own(1));
            assert_eq!(asked(&mut links, 2, host, Some(way("c2"))).await, own(2));
            assert_eq!(asked(&mut links, 3, host, Some(way("c1"))).await, own(1));
            (1..=3).for_each(|id| links.close(key(id)));
        }
        // Sockets that are open stay on their way.
        links.set_way(Some(way("c2")));
        let second = asked(&mut links, 4, SERVER, None).await;
        assert_eq!(second, "10.2.0.2".parse::<IpAddr>().unwrap());
    });
}

#[test]
fn a_device_that_is_unplugged_takes_its_links_along() {
    in_box(async || {
        let mut links = Links::default();
        asked(&mut links, 1, SERVER, Some(way("c2"))).await;
        asked(&mut links, 2, SERVER, Some(way("c1"))).await;
        ip("link delete c2");
        let told = links.transmit(key(1), b"anybody?");
        assert!(matches!(told, Some(LinkEvent::Down(_))), "{told:?}");
        assert_eq!(links.transmit(key(2), b"anybody?"), None);
        let uri = format!("coap://{SERVER}").parse().unwrap();
        links.open_over(key(3), uri, way("c2"));
        let (_, opened) = poll_fn(|context| links.poll_opened(context)).await;
        assert!(matches!(opened, LinkEvent::Down(_)));
        assert_eq!(links.why(key(3)), Some(Reason::NoLink));
    });
}

#[test]
fn what_is_too_long_for_a_device_says_how_much_that_carries() {
    in_box(async || {
        let mut links = Links::default();
        asked(&mut links, 1, SERVER, Some(way("c2"))).await;
        asked(&mut links, 2, SERVER6, Some(way("c2"))).await;
        ip("link set c2 mtu 1300");
        for (id, longest) in [(1, 1300 - 28), (2, 1300 - 48)] {
            assert_eq!(links.transmit(key(id), &vec![0; longest]), None);
            let told = links.transmit(key(id), &vec![0; longest + 1]);
            assert_eq!(told, Some(LinkEvent::MtuShrunk(1300)), "{id}");
        }
    });
}

#[test]
fn a_probe_leaves_by_its_bearer_and_says_what_is_wrong_there() {
    in_box(async || {
        let probe = async |interface: &str, uri: &str| {
            let mut prober = Prober::default();
            let target = uri.parse().unwrap();
            let patience = Duration::from_millis(300);
            prober.start(BearerId(0), way(interface), vec![target], patience);
            poll_fn(|context| prober.poll_result(context)).await.1
        };
        let good = format!("coap://{SERVER}");
        assert!(probe("c1", &good).await.is_ok());
        assert!(probe("c2", &good).await.is_ok());
        let deaf = format!("coap://{SERVER}:9");
        assert_eq!(probe("c2", &deaf).await, Err(Reason::Refused));
        ip("link set c2 down");
        assert!(probe("c2", &good).await.is_err());
        assert!(probe("c1", &good).await.is_ok());
        ip("link delete c2");
        assert_eq!(probe("c2", &good).await, Err(Reason::NoLink));
    });
}
