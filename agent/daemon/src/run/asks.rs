//! What people, the page and parts of the box ask of the loop.

use lamplighter_coap::Code;
use lamplighter_lwm2m::{
    boundary::{Command, Input, LocalAnswer, RequestId, SendRequest},
    reject::Reject,
};
use lamplighter_model::device::{Fault, OpId};
use lamplighter_site::boundary::{LockRequest, SiteInput};
use tokio::sync::oneshot;

use super::{Agent, THE_BOX};
use crate::{
    ask::{Ask, ServerAction},
    events::{Class, News},
};

impl Agent {
    pub(super) fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::DeviceErrors { known, holding } => {
                for code in known {
                    let present = holding.contains(code);
                    self.device_error(*code, present);
                }
            }
            Ask::DeviceZone {
                timezone,
                utc_offset,
            } => self.every_client(&Input::Command(Command::DeviceZone {
                timezone,
                utc_offset,
            })),
            Ask::Bearers { what, user, reply } => {
                // Nobody may be waiting any more.
                let _ = reply.send(self.ask_bearers(what, &user));
            }
            Ask::Bootstrap { user, reply } => {
                // Nobody may be waiting any more.
                let _ = reply.send(self.ask_for_bootstrap(&user));
            }
            Ask::Lock(request, reply) => self.lock(request, reply),
            Ask::Local(request, reply) => {
                let id = self.expect_answer(reply);
                self.core(THE_BOX, Input::Command(Command::Local(id, request)));
            }
            Ask::Reload { user, reply } => {
                // Nobody may be waiting any more.
                let _ = reply.send(self.reload(Some(&user)));
            }
            Ask::Server {
                name,
                action,
                user,
                reply,
            } => {
                let told = self.tell_server(&name, action, &user);
                // Nobody may be waiting any more.
                let _ = reply.send(told);
            }
            Ask::Send {
                paths,
                server,
                user,
                reply,
            } => {
                let request = SendRequest {
                    paths,
                    samples: Vec::new(),
                    ssid: None,
                    user: Some(user),
                };
                self.send(request, server.as_deref(), reply);
            }
            Ask::Tell {
                samples,
                server,
                reply,
            } => {
                let request = SendRequest {
                    paths: Vec::new(),
                    samples,
                    ssid: None,
                    user: None,
                };
                self.send(request, Some(&server), reply);
            }
            Ask::Why(name, reply) => {
                let _ = reply.send(self.site.why(&name, self.clock.now()));
            }
        }
    }

    fn lock(&mut self, request: LockRequest, reply: oneshot::Sender<Result<(), Fault>>) {
        let op = OpId(self.waiting.next_op);
        self.waiting.next_op += 1;
        self.waiting.locks.insert(op, reply);
        let now = self.clock.now();
        self.site.handle(SiteInput::Lock(op, request), now);
    }

    fn send(
        &mut self,
        request: SendRequest,
        server: Option<&str>,
        reply: oneshot::Sender<Result<LocalAnswer, Reject>>,
    ) {
        let (client, ssid) = match server.map(|name| (name, self.server_names.get(name))) {
            None => (THE_BOX, None),
            Some((_, Some((client, ssid)))) => (*client, Some(*ssid)),
            Some((name, None)) => {
                let refused = Reject::new(Code::NOT_FOUND, format!("there is no server {name}"));
                // Nobody may be waiting any more.
                let _ = reply.send(Err(refused));
                return;
            }
        };
        let id = self.expect_answer(reply);
        let request = SendRequest { ssid, ..request };
        self.core(client, Input::Command(Command::Send(id, request)));
    }

    /// The number under which the core answers.
    fn expect_answer(&mut self, reply: oneshot::Sender<Result<LocalAnswer, Reject>>) -> RequestId {
        let id = RequestId(self.waiting.next_request);
        self.waiting.next_request += 1;
        self.waiting.answers.insert(id, reply);
        id
    }

    fn tell_server(&mut self, name: &str, action: ServerAction, user: &str) -> Result<(), Reject> {
        let Some((client, ssid)) = self.server_names.get(name).copied() else {
            return Err(Reject::new(
                Code::NOT_FOUND,
                format!("there is no server {name}"),
            ));
        };
        tracing::info!(server = name, ?action, user, "Asked by a person");
        let news = News::new(Class::Event, "asked").about(name).by(user);
        self.events.tell(news.text(action.word()));
        let command = match action {
            ServerAction::Deregister => Command::Deregister(Some(ssid)),
            ServerAction::Refresh => Command::Update(ssid),
            ServerAction::Register => Command::Register(ssid),
        };
        self.core(client, Input::Command(command));
        Ok(())
    }
}
