//! The page and its API on a TCP port, behind a login.
//!
//! Every call passes, in this order: the Host header; the session, except for the login itself and
//! the page's own files; the CSRF token, where something is to change.

mod enable;
mod host;
mod listen;
mod pages;
mod password;
mod secret;
mod session;
#[cfg(test)]
mod tests;
mod throttle;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, Query, Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, REFERRER_POLICY,
            SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;
use tokio::{net::TcpListener, sync::Semaphore, task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use crate::{
    api::{self, Api, Person, Refusal},
    events::{Class, News},
    status::Counter,
};
use host::Hosts;
use listen::{Door, Remote};
use password::PasswordError;
use session::{Session, Sessions};
use throttle::Throttle;

pub use enable::{EnableError, Enabled, enable};
pub use password::{PasswordError as PagePasswordError, set as set_password};

const CSRF_HEADER: &str = "x-csrf-token";
/// What the page may load: its own files, and nothing from anywhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// A password and the braces around it.
const MAX_LOGIN_BODY: usize = 4096;
/// A port in use may be free some time later.
const BIND_RETRY: Duration = Duration::from_secs(30);
/// Subject of the problem that is stated while there is no port.
const PROBLEM: &str = "page";

/// The `[web]` table, checked, and where the password stands.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// Names besides the machine's own by which browsers may call the page.
    pub hosts: Vec<String>,
    pub listen: SocketAddr,
    pub state_dir: PathBuf,
}

/// The page on its port.
#[derive(Debug)]
pub struct Page {
    listener: TcpListener,
    address: SocketAddr,
    site: Web,
}

impl Page {
    pub async fn bind(config: &WebConfig, api: Api) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let shared = Shared {
            cookie: format!("lamplighter_{}", address.port()),
            hosts: Hosts::new(&config.hosts),
            one_at_a_time: Semaphore::new(1),
            sessions: Mutex::default(),
            state_dir: config.state_dir.clone(),
            throttle: Mutex::default(),
        };
        Ok(Self {
            listener,
            address,
            site: Web {
                api,
                shared: Arc::new(shared),
            },
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A link that logs in once, without a password; it ends with the agent.
    pub fn one_time_link(&self) -> io::Result<String> {
        let token = self.site.shared.sessions().add_link()?;
        Ok(format!(
            "{}?token={}",
            enable::url_of(self.address),
            token.text()
        ))
    }

    /// Answers until the future is dropped.
    pub async fn serve(self) {
        let service = router(self.site).into_make_service_with_connect_info::<Remote>();
        if let Err(error) = axum::serve(Door::new(self.listener), service).await {
            warn!(%error, "Page failed");
        }
    }
}

/// Serves the page as soon as its port can be had; until then that is a problem in the status.
pub async fn keep_serving(config: WebConfig, api: Api) {
    loop {
        let error = match Page::bind(&config, api.clone()).await {
            Ok(page) => {
                api.status.solved(PROBLEM);
                info!(address = %page.address(), "Page is served");
                return page.serve().await;
            }
            Err(error) => error,
        };
        warn!(address = %config.listen, %error, "Page has no port");
        api.status.problem(
            PROBLEM,
            &format!("{}: {error}", config.listen),
            (api.clock)(),
        );
        sleep(BIND_RETRY).await;
    }
}

/// What the calls of the page share.
#[derive(Clone)]
struct Web {
    api: Api,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Cookies do not know ports: two agents on one host need two names.
    cookie: String,
    hosts: Hosts,
    /// Hashing costs memory and time: one password at a time.
    one_at_a_time: Semaphore,
    sessions: Mutex<Sessions>,
    state_dir: PathBuf,
    throttle: Mutex<Throttle>,
}

fn router(web: Web) -> Router {
    let api = web.api.clone();
    let inside = Router::new()
        .nest("/api/v1", api::routes())
        .route("/metrics", get(api::metrics))
        .with_state(api)
        .merge(
            Router::new()
                .route("/api/v1/session", get(session))
                .route("/logout", post(logout))
                .with_state(web.clone()),
        )
        .layer(middleware::from_fn_with_state(
            web.clone(),
            only_with_session,
        ));
    Router::new()
        .route("/", get(home))
        .route(
            "/login",
            post(login).layer(DefaultBodyLimit::max(MAX_LOGIN_BODY)),
        )
        .merge(pages::routes())
        .with_state(web.clone())
        .merge(inside)
        .layer(middleware::from_fn_with_state(web, only_for_our_hosts))
}

async fn only_for_our_hosts(State(web): State<Web>, request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let mut response = if host.is_some_and(|host| web.shared.hosts.contains(host)) {
        next.run(request).await
    } else {
        Refusal::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this is not a name of this box",
        )
        .into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn only_with_session(
    State(web): State<Web>,
    ConnectInfo(Remote(remote)): ConnectInfo<Remote>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let Some(session) = web.session_of(request.headers()) else {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "log in first"));
    };
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let token = request
        .headers()
        .get(CSRF_HEADER)
        .and_then(|token| token.to_str().ok());
    if changes && !token.is_some_and(|token| session.csrf.is(token)) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            format!("the header {CSRF_HEADER} is missing or wrong"),
        ));
    }
    request
        .extensions_mut()
        .insert(web.person(session, remote.ip()));
    request.extensions_mut().insert(session);
    Ok(next.run(request).await)
}

#[derive(Deserialize)]
struct HomeQuery {
    token: Option<String>,
}

async fn home(
    State(web): State<Web>,
    method: Method,
    Query(HomeQuery { token }): Query<HomeQuery>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    // A look at the headers only, as link previews take, does not use the link up.
    let token = token.filter(|_| method == Method::GET);
    if token.is_some_and(|token| web.shared.sessions().use_link(&token)) {
        info!("Logged in by one-time link");
        return web.enter(pages::html(pages::ENTER));
    }
    let page = if web.session_of(&headers).is_some() {
        pages::APP
    } else {
        pages::LOGIN
    };
    Ok(pages::html(page))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    password: String,
}

async fn login(
    State(web): State<Web>,
    ConnectInfo(Remote(remote)): ConnectInfo<Remote>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    // A form of a foreign page cannot send this type.
    if headers
        .get(CONTENT_TYPE)
        .is_none_or(|content_type| content_type != "application/json")
    {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body is application/json",
        ));
    }
    let LoginBody { password } = api::json_body(&body)?;
    web.attempt(remote.ip())?;
    if !web.verify(password).await? {
        web.api.status.count(Counter::LoginsRefused, 1);
        info!(from = %remote.ip(), "Log-in refused");
        let news = News::new(Class::Security, "login_refused");
        web.api
            .events
            .tell(news.by(format!("page ({})", remote.ip())));
        return Err(Refusal::new(StatusCode::FORBIDDEN, "wrong password"));
    }
    web.shared
        .throttle
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .succeeded(remote.ip());
    info!(from = %remote.ip(), "Logged in");
    let news = News::new(Class::Security, "logged_in");
    web.api
        .events
        .tell(news.by(format!("page ({})", remote.ip())));
    web.enter(Json(json!({ "result": "done" })).into_response())
}

/// What the page needs to make calls.
async fn session(
    Extension(session): Extension<Session>,
    Extension(person): Extension<Person>,
) -> Response {
    Json(json!({ "csrf": session.csrf.text(), "user": person.name })).into_response()
}

async fn logout(State(web): State<Web>, Extension(session): Extension<Session>) -> Response {
    web.shared.sessions().close(session.id);
    Json(json!({ "result": "done" })).into_response()
}

impl Web {
    fn session_of(&self, headers: &HeaderMap) -> Option<Session> {
        let cookies = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|cookie| cookie.to_str().ok());
        let mut cookies = cookies
            .flat_map(|cookie| cookie.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let (_, id) = cookies.find(|(name, _)| *name == self.shared.cookie)?;
        self.shared.sessions().of(id, self.mono())
    }

    fn person(&self, session: Session, ip: IpAddr) -> Person {
        let web = self.clone();
        Person {
            name: format!("page ({})", ip.to_canonical()),
            still_allowed: Some(Arc::new(move || {
                web.shared.sessions().is_open(session.id, web.mono())
            })),
        }
    }

    /// Opens a session and gives its cookie to the browser.
    fn enter(&self, mut response: Response) -> Result<Response, Refusal> {
        let session = self.shared.sessions().open(self.mono()).map_err(internal)?;
        let cookie = format!(
            "{}={}; Path=/; HttpOnly; SameSite=Strict",
            self.shared.cookie,
            session.id.text()
        );
        let cookie = HeaderValue::from_str(&cookie).map_err(internal)?;
        response.headers_mut().insert(SET_COOKIE, cookie);
        Ok(response)
    }

    fn attempt(&self, ip: IpAddr) -> Result<(), Refusal> {
        let mut throttle = self
            .shared
            .throttle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        throttle.attempt(ip, self.mono()).map_err(|wait| {
            Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many attempts, wait a little",
            )
            .after(wait)
        })
    }

    async fn verify(&self, password: String) -> Result<bool, Refusal> {
        if password.len() > password::MAX_LENGTH {
            return Ok(false);
        }
        let _turn = self
            .shared
            .one_at_a_time
            .acquire()
            .await
            .map_err(internal)?;
        let state_dir = self.shared.state_dir.clone();
        let verified = spawn_blocking(move || password::verify(&state_dir, &password))
            .await
            .map_err(internal)?;
        verified.map_err(|error| {
            if !matches!(error, PasswordError::Missing) {
                warn!(%error, "Password cannot be checked");
            }
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        })
    }

    fn mono(&self) -> Duration {
        (self.api.clock)().mono
    }
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

fn internal(error: impl fmt::Display) -> Refusal {
    warn!(%error, "Page cannot answer");
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the agent cannot do this now",
    )
}
