//! Two endpoints talk over a perfect wire.

use std::time::Duration;

use lamplighter_coap::{Code, Endpoint, Event, ExchangeId, Method, Params, Request, Response};

const NOW: Duration = Duration::ZERO;

/// Carries datagrams until both are silent; the events of both.
fn settle(client: &mut Endpoint, server: &mut Endpoint) -> (Vec<Event>, Vec<Event>) {
    loop {
        let to_server: Vec<_> = std::iter::from_fn(|| client.poll_transmit()).collect();
        let to_client: Vec<_> = std::iter::from_fn(|| server.poll_transmit()).collect();
        if to_server.is_empty() && to_client.is_empty() {
            let drain =
                |endpoint: &mut Endpoint| std::iter::from_fn(|| endpoint.poll_event()).collect();
            return (drain(client), drain(server));
        }
        to_server
            .iter()
            .for_each(|datagram| server.receive(datagram, NOW));
        to_client
            .iter()
            .for_each(|datagram| client.receive(datagram, NOW));
    }
}

fn ask(
    client: &mut Endpoint,
    server: &mut Endpoint,
    request: Request,
    response: Response,
) -> (Request, Response) {
    let id: ExchangeId = client.request(request, NOW);
    let (_, events) = settle(client, server);
    let [Event::Request(key, asked)] = &events[..] else {
        panic!("{events:?}")
    };
    server.respond(*key, response, NOW);
    let (events, _) = settle(client, server);
    let [Event::Response(answered, response)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*answered, id);
    (asked.clone(), response.clone())
}

fn pair() -> (Endpoint, Endpoint) {
    (
        Endpoint::new(Params::default(), 1),
        Endpoint::new(Params::default(), 2),
    )
}

#[test]
fn everything_in_a_request_and_its_answer_arrives() {
    let (mut client, mut server) = pair();
    let request = Request {
        queries: vec!["ep=a".into(), "lt=60".into()],
        content_format: Some(40),
        accept: Some(11542),
        payload: b"</1/0>".to_vec(),
        ..Request::new(Method::Post, vec!["rd".into()])
    };
    let response = Response {
        location_path: vec!["rd".into(), "x/y".into()],
        max_age: Some(0),
        ..Response::new(Code::CREATED)
    };
    let (asked, answered) = ask(&mut client, &mut server, request.clone(), response.clone());
    assert_eq!(asked.token.as_bytes().len(), 4);
    assert_eq!(
        asked,
        Request {
            token: asked.token,
            ..request
        }
    );
    assert_eq!(answered, response);
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn large_bodies_go_block_by_block_both_ways() {
    let (mut client, mut server) = pair();
    let body: Vec<u8> = (0..5000u32).map(|n| n as u8).collect();
    let request = Request {
        payload: body.clone(),
        ..Request::new(Method::Post, vec!["rd".into()])
    };
    let response = Response::content(Code::CHANGED, 0, body.iter().rev().copied().collect());
    let (asked, answered) = ask(&mut client, &mut server, request, response.clone());
    assert_eq!(asked.payload, body);
    assert_eq!(answered.payload, response.payload);
}
