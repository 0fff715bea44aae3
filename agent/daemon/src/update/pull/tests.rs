use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use lamplighter_coap::{Code, ETag, Endpoint, Event, Params, Response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
};

use super::*;
use crate::update::tests::{Rig, content};

#[test]
fn addresses_of_packages() {
    let place = |uri: &str| {
        Place::parse(uri)
            .map(|place| (place.protocol, place.authority(), place.path))
            .map_err(|(outcome, _)| outcome)
    };
    for (uri, protocol, authority, path) in [
        ("coap://a/b/c", Protocol::Coap, "a:5683", "/b/c"),
        ("COAPS://a:1", Protocol::Coaps, "a:1", "/"),
        ("http://a?b=c", Protocol::Http, "a:80", "/?b=c"),
        ("https://[::1]:8/b#c", Protocol::Https, "[::1]:8", "/b"),
    ] {
        let is = (protocol, authority.to_owned(), path.to_owned());
        assert_eq!(place(uri), Ok(is), "{uri}");
    }
    for (uri, outcome) in [
        ("", Outcome::InvalidUri),
        ("/a", Outcome::InvalidUri),
        ("http://", Outcome::InvalidUri),
        ("http://:80/", Outcome::InvalidUri),
        ("http://a:b/", Outcome::InvalidUri),
        ("http://a:0/", Outcome::InvalidUri),
        ("http://a b/", Outcome::InvalidUri),
        ("http://u@a/", Outcome::InvalidUri),
        ("coap+tcp://a/", Outcome::Protocol),
        ("ftp://a/", Outcome::Protocol),
    ] {
        assert_eq!(place(uri), Err(outcome), "{uri}");
    }
}

/// Answers one connection after the other with what is given, and gives back what it was asked.
async fn http_server(answers: Vec<String>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(request).unwrap().to_lowercase());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (address, serving)
}

async fn fetched(rig: &Rig, uri: String) -> Result<(), Failed> {
    let depot = Arc::new(Depot::new(&rig.state_dir(), rig.settings.clone()));
    pull(depot, Arc::new(rig.fetching()), uri).await
}

const DIGITS: &str = "0123456789";

#[tokio::test]
async fn http_goes_on_where_it_broke_off() {
    let rig = Rig::new("http");
    let answers = [
        "HTTP/1.1 503 Later\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 There\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: 10\r\n\r\n0123",
        "HTTP/1.1 206 Part\r\nETag: \"one\"\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n456",
        "HTTP/1.1 206 Part\r\nETag: \"one\"\r\nContent-Range: bytes 7-9/10\r\nContent-Length: 3\r\n\r\n789",
    ];
    // Each attempt begins where the address says.
    let redirect = answers[1].to_owned();
    let mut all = vec![
        answers[0].to_owned(),
        redirect.clone(),
        answers[2].to_owned(),
    ];
    for answer in &answers[3..] {
        all.extend([redirect.clone(), (*answer).to_owned()]);
    }
    let (address, serving) = http_server(all).await;
    fetched(&rig, format!("http://{address}/here?a=b"))
        .await
        .unwrap();
    let asked = serving.await.unwrap();
    assert!(
        asked[0].starts_with("get /here?a=b http/1.1\r\n"),
        "{}",
        asked[0]
    );
    assert!(asked[0].contains(&format!("host: {address}\r\n")));
    assert!(!asked[2].contains("range:"), "{}", asked[2]);
    assert!(asked[2].starts_with("get /there "));
    for (number, start) in [(4, 4), (6, 7)] {
        assert!(
            asked[number].contains(&format!("range: bytes={start}-\r\n")),
            "{}",
            asked[number]
        );
        assert!(asked[number].contains("if-range: \"one\"\r\n"));
    }
    assert_eq!(content(&rig.state_dir(), "part"), DIGITS.as_bytes());
}

#[tokio::test]
async fn http_begins_anew_with_another_version() {
    let rig = Rig::new("http-new");
    let answers = [
        "HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: 10\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nETag: \"two\"\r\nContent-Length: 10\r\n\r\n0123456",
        "HTTP/1.1 416 None\r\nContent-Range: bytes */5\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n012\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789",
    ];
    let (address, serving) = http_server(answers.map(str::to_owned).to_vec()).await;
    fetched(&rig, format!("http://{address}/")).await.unwrap();
    let asked = serving.await.unwrap();
    assert!(asked[2].contains("range: bytes=7-"), "{}", asked[2]);
    assert!(!asked[3].contains("range:"));
    assert!(
        !asked[4].contains("range:"),
        "without an ETag nothing is added"
    );
    assert_eq!(content(&rig.state_dir(), "part"), DIGITS.as_bytes());
}

#[tokio::test]
async fn http_parts_of_another_version_are_not_added() {
    let rig = Rig::new("http-part");
    let answers = [
        "HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: 10\r\n\r\nabcd",
        "HTTP/1.1 206 Part\r\nETag: \"two\"\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n456789",
        "HTTP/1.1 200 OK\r\nETag: \"two\"\r\nContent-Length: 10\r\n\r\n0123",
        // Without a version it is the one that was asked for. RFC 9110, 13.1.5
        "HTTP/1.1 206 Part\r\nContent-Range: bytes 4-9/10\r\nContent-Length: 6\r\n\r\n456789",
    ];
    let (address, serving) = http_server(answers.map(str::to_owned).to_vec()).await;
    fetched(&rig, format!("http://{address}/")).await.unwrap();
    let asked = serving.await.unwrap();
    assert!(asked[1].contains("range: bytes=4-"), "{}", asked[1]);
    assert!(!asked[2].contains("range:"), "{}", asked[2]);
    assert!(asked[3].contains("if-range: \"two\""), "{}", asked[3]);
    assert_eq!(content(&rig.state_dir(), "part"), DIGITS.as_bytes());
}

#[tokio::test]
async fn http_servers_may_refuse() {
    for (answer, outcome) in [
        (
            "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
            Outcome::InvalidUri,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            Outcome::NoSpace,
        ),
        (
            "HTTP/1.1 301 To\r\nLocation: coap://a/\r\nContent-Length: 0\r\n\r\n",
            Outcome::InvalidUri,
        ),
        (
            "HTTP/1.1 301 To\r\nLocation: ftp://a/\r\nContent-Length: 0\r\n\r\n",
            Outcome::Protocol,
        ),
    ] {
        let rig = Rig::new("http-no");
        let (address, _serving) = http_server(vec![answer.to_owned()]).await;
        let (is, words) = fetched(&rig, format!("http://{address}/"))
            .await
            .unwrap_err();
        assert_eq!(is, outcome, "{words}");
    }
    let rig = Rig::new("http-endless");
    let body = "x".repeat(80 << 10);
    let endless =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14000\r\n{body}\r\n");
    let (address, _serving) = http_server(vec![endless]).await;
    let (is, _) = fetched(&rig, format!("http://{address}/"))
        .await
        .unwrap_err();
    assert_eq!(is, Outcome::NoSpace);
}

/// Gives the same body to every request, until it has answered so often; the block that each was for.
async fn coap_server(
    body: Vec<u8>,
    etag: &'static [u8],
    answers: usize,
    block_szx: u8,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let paths = Arc::clone(&asked);
    tokio::spawn(async move {
        let params = Params {
            block_szx,
            ..Params::default()
        };
        let mut endpoint = Endpoint::new(params, 1);
        let mut datagram = vec![0; 2048];
        for number in 0..answers {
            let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
            let now = Duration::from_millis(number as u64);
            endpoint.receive(&datagram[..length], now);
            while let Some(event) = endpoint.poll_event() {
                if let Event::Request(key, request) = event {
                    let mut paths = paths.lock().unwrap_or_else(PoisonError::into_inner);
                    paths.push(format!("{:?} {:?}", request.path, request.queries));
                    let response = Response {
                        etag: ETag::new(etag),
                        ..Response::content(Code::CONTENT, 42, body.clone())
                    };
                    endpoint.respond(key, response, now);
                }
            }
            while let Some(answer) = endpoint.poll_transmit() {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    (address, asked)
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|number| (number % 251) as u8).collect()
}

#[tokio::test]
async fn coap_is_fetched_block_by_block() {
    let rig = Rig::new("coap");
    let (address, asked) = coap_server(body(5000), b"one", 5, 6).await;
    let uri = format!("coap://{address}/a%20b/c?d=e&f");
    fetched(&rig, uri).await.unwrap();
    assert_eq!(content(&rig.state_dir(), "part"), body(5000));
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0], r#"["a b", "c"] ["d=e", "f"]"#);
}

#[tokio::test]
async fn coap_goes_on_where_it_broke_off() {
    let rig = Rig::new("coap-on");
    // Of the former attempt, in blocks of another size.
    let there = |address: SocketAddr, etag: &[u8]| {
        let depot = Depot::new(&rig.state_dir(), rig.settings.clone());
        let origin = Origin {
            uri: format!("coap://{address}/p"),
            etag: Some(etag.to_vec()),
        };
        depot.begin(&origin).unwrap();
        depot.add(0, &body(2100)).unwrap();
    };
    // Three blocks are left of five.
    let (address, _) = coap_server(body(5000), b"one", 3, 6).await;
    there(address, b"one");
    fetched(&rig, format!("coap://{address}/p")).await.unwrap();
    assert_eq!(content(&rig.state_dir(), "part"), body(5000));
    // It has another version now: one block to learn that, then all of them.
    let (address, _) = coap_server(body(3000), b"two", 4, 6).await;
    there(address, b"one");
    fetched(&rig, format!("coap://{address}/p")).await.unwrap();
    assert_eq!(content(&rig.state_dir(), "part"), body(3000));
}

#[tokio::test]
async fn coap_servers_may_send_smaller_blocks() {
    let rig = Rig::new("coap-small");
    // Each block of 512 once; more is not answered.
    let (address, _) = coap_server(body(2000), b"one", 4, 5).await;
    fetched(&rig, format!("coap://{address}/p")).await.unwrap();
    assert_eq!(content(&rig.state_dir(), "part"), body(2000));
}

/// A block before the last that is cut is none: there is no next one. // RFC 7959, 2.2
#[tokio::test]
async fn coap_blocks_that_are_cut_end_an_attempt() {
    for length in [0, 8, 100, 1200] {
        let rig = Rig::new("coap-cut");
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut asked = Vec::new();
            let mut datagram = vec![0; 2048];
            for number in 0..3 {
                let (got, from) = socket.recv_from(&mut datagram).await.unwrap();
                let token = &datagram[4..][..usize::from(datagram[0] & 0xf)];
                asked.push(datagram[..got].to_vec());
                // An acknowledgement: 2.05 with Block2 0/1/1024, at last 4.04.
                let code = if number < 2 { 0x45 } else { 0x84 };
                let mut answer = vec![0x60 | datagram[0] & 0xf, code, datagram[2], datagram[3]];
                answer.extend(token);
                if number < 2 {
                    answer.extend([0xd1, 23 - 13, 0x0e, 0xff]);
                    answer.extend(body(length));
                    if length == 0 {
                        answer.pop();
                    }
                }
                socket.send_to(&answer, from).await.unwrap();
            }
            asked
        });
        let (outcome, _) = fetched(&rig, format!("coap://{address}/p"))
            .await
            .unwrap_err();
        assert_eq!(outcome, Outcome::InvalidUri);
        let asked = serving.await.unwrap();
        assert!(
            asked.iter().all(|question| *question == asked[0]),
            "each is the first of an attempt of its own"
        );
    }
}
