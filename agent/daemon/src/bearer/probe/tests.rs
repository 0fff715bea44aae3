//! Against servers of this process, on the loopback.

use std::{future::poll_fn, net::UdpSocket as StdSocket};

use lamplighter_dtls::test_server::{ServerEvent, Settings, TestServer};

use super::*;

const BEARER: BearerId = BearerId(3);

fn way() -> Way {
    Way {
        interface: "none0".to_owned(),
        index: 7,
        v4: true,
        v6: false,
        nat64: false,
        name_servers: Vec::new(),
    }
}

fn target(socket: &StdSocket, scheme: &str) -> ServerUri {
    let address = socket.local_addr().unwrap();
    format!("{scheme}://{address}").parse().unwrap()
}

async fn result(prober: &mut Prober) -> Result<Duration, Reason> {
    let (bearer, result) = poll_fn(|context| prober.poll_result(context)).await;
    assert_eq!(bearer, BEARER);
    result
}

async fn probe(targets: &[ServerUri], patience_ms: u64) -> Result<Duration, Reason> {
    let mut prober = Prober::default();
    let patience = Duration::from_millis(patience_ms);
    prober.start(BEARER, way(), targets.to_vec(), patience);
    result(&mut prober).await
}

fn bound() -> StdSocket {
    StdSocket::bind("127.0.0.1:0").unwrap()
}

/// Answers what comes first by this.
fn answering(answer: fn(&[u8]) -> Vec<u8>) -> StdSocket {
    let socket = bound();
    let server = socket.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = server.recv_from(&mut buffer) {
            server.send_to(&answer(&buffer[..length]), from).unwrap();
        }
    });
    socket
}

/// A server with DTLS that answers as it should.
fn dtls(hello_verify: bool) -> StdSocket {
    let socket = bound();
    let io = socket.try_clone().unwrap();
    std::thread::spawn(move || {
        let settings = Settings {
            hello_verify,
            ..Settings::default()
        };
        let mut server = TestServer::new(settings).unwrap();
        server.admit(
            b"x",
            lamplighter_dtls::Secret::new(b"0123456789abcdef".to_vec()),
        );
        let mut buffer = [0; 512];
        while let Ok((length, from)) = io.recv_from(&mut buffer) {
            server.receive(from, &buffer[..length], Duration::ZERO);
            while let Some(event) = server.poll() {
                if let ServerEvent::Transmit(to, datagram) = event {
                    io.send_to(&datagram, to).unwrap();
                }
            }
        }
    });
    socket
}

fn reset(question: &[u8]) -> Vec<u8> {
    vec![0x70, 0, question[2], question[3]]
}

#[tokio::test]
async fn a_server_that_answers_makes_a_bearer_connected() {
    let coap = target(&answering(reset), "coap");
    let round_trip = probe(&[coap], 5000).await.unwrap();
    assert!(round_trip < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_with_dtls_answers_the_first_message_of_a_handshake() {
    for hello_verify in [true, false] {
        let secured = target(&dtls(hello_verify), "coaps");
        assert!(probe(&[secured], 5000).await.is_ok(), "{hello_verify}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mute_server_is_waited_for_as_long_as_asked() {
    let (socket, begun) = (bound(), Instant::now());
    let mute = target(&socket, "coaps");
    assert_eq!(probe(&[mute], 300).await, Err(Reason::Timeout));
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn where_nobody_listens_that_is_told_at_once() {
    let gone = target(&bound(), "coap");
    let begun = Instant::now();
    assert_eq!(probe(&[gone], 20_000).await, Err(Reason::Refused));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn nonsense_is_no_answer() {
    let wrong = target(&answering(|_| vec![0x70, 0, 1]), "coap");
    assert_eq!(probe(&[wrong], 200).await, Err(Reason::Timeout));
    let coap = target(&answering(reset), "coaps");
    assert_eq!(probe(&[coap], 200).await, Err(Reason::Timeout));
}

#[tokio::test]
async fn the_next_server_is_asked_where_the_first_is_mute_or_refuses() {
    let (mute, gone, good) = (bound(), bound(), answering(reset));
    let [mute, good] = [&mute, &good].map(|socket| target(socket, "coap"));
    let begun = Instant::now();
    assert!(probe(&[mute.clone(), good.clone()], 1000).await.is_ok());
    assert!(begun.elapsed() >= Duration::from_millis(500));
    let gone = {
        let gone = gone;
        target(&gone, "coap")
    };
    let begun = Instant::now();
    assert!(probe(&[gone.clone(), good], 20_000).await.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(probe(&[mute, gone], 400).await, Err(Reason::Refused));
}

#[tokio::test]
async fn what_the_bearer_does_not_carry_is_not_asked() {
    let target = "coap://[2001:db8::1]".parse().unwrap();
    assert_eq!(probe(&[target], 1000).await, Err(Reason::NoAddress));
    assert_eq!(probe(&[], 1000).await, Err(Reason::Timeout));
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_a_matter_of_dns() {
    let mute = bound();
    let mut prober = Prober {
        shared: Arc::new(Shared {
            resolver: Resolver {
                port: mute.local_addr().unwrap().port(),
                ..Resolver::default()
            },
            ..Shared::default()
        }),
        ..Prober::default()
    };
    let name = "coap://lw.example".parse().unwrap();
    let way = Way {
        name_servers: vec![[127, 0, 0, 1].into()],
        ..way()
    };
    prober.start(BEARER, way, vec![name], Duration::from_millis(200));
    assert_eq!(result(&mut prober).await, Err(Reason::Dns));
}

#[tokio::test]
async fn a_probe_takes_the_place_of_the_one_before() {
    let (mute, good) = (bound(), answering(reset));
    let [mute, good] = [&mute, &good].map(|socket| target(socket, "coap"));
    let mut prober = Prober::default();
    prober.start(BEARER, way(), vec![mute], Duration::from_millis(100));
    prober.start(BEARER, way(), vec![good], Duration::from_secs(5));
    assert!(result(&mut prober).await.is_ok());
}

#[tokio::test]
async fn where_nobody_may_be_asked_nothing_goes_on() {
    let (mute, good) = (bound(), answering(reset));
    let [mute, good] = [&mute, &good].map(|socket| target(socket, "coap"));
    let mut prober = Prober::default();
    prober.start(BEARER, way(), vec![mute], Duration::from_secs(60));
    let (_, task) = prober.running[&BEARER].clone();
    prober.stop_all();
    while !task.is_finished() {
        tokio::task::yield_now().await;
    }
    // What was asked for after it is answered, and nothing before that.
    prober.start(BEARER, way(), vec![good], Duration::from_secs(5));
    assert!(result(&mut prober).await.is_ok());
}

/// It takes longer than the pause between two probes.
#[tokio::test]
async fn a_portal_is_looked_for_to_the_end_whatever_is_asked_meanwhile() {
    let good = target(&answering(reset), "coap");
    let mut prober = Prober::default();
    let looking = tokio::spawn(std::future::pending::<()>()).abort_handle();
    prober
        .running
        .insert(BEARER, (prober.next, looking.clone()));
    let told = Ended {
        bearer: BEARER,
        number: prober.next,
        result: Err(Reason::Timeout),
    };
    prober.ending.send(told).unwrap();
    assert_eq!(result(&mut prober).await, Err(Reason::Timeout));
    for _ in 0..2 {
        prober.start(BEARER, way(), vec![good.clone()], Duration::from_secs(5));
        assert!(result(&mut prober).await.is_ok());
    }
    assert!(!looking.is_finished());
    prober.stop_all();
    while !looking.is_finished() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_portal_explains_silence_until_somebody_answers() {
    let prober = Prober::default();
    let portal = Portal {
        asked: Instant::now(),
        is_there: true,
    };
    lock(&prober.shared.portals).insert(BEARER, portal);
    let explained = |result| prober.shared.explained(BEARER, result);
    assert_eq!(explained(Err(Reason::Timeout)), Err(Reason::Captive));
    assert_eq!(explained(Err(Reason::Dns)), Err(Reason::Dns));
    assert!(explained(Ok(Duration::ZERO)).is_ok());
    assert_eq!(explained(Err(Reason::Timeout)), Err(Reason::Timeout));
}

#[tokio::test]
async fn a_portal_is_found_by_what_it_says_of_the_host() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 512];
        let length = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..length].starts_with(b"GET / HTTP/1.1\r\nHost: lw.example\r\n"));
        let answer = b"HTTP/1.1 302 Found\r\nLocation: http://login.hotel/\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    });
    assert!(portal::stands_before("lw.example", to, &way()).await);
    assert!(
        !portal::stands_before("lw.example", to, &way()).await,
        "it is gone"
    );
}
