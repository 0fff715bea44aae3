//! Mbed TLS behind values that cannot be misused: the one file of this crate with unsafe code.
//!
//! One [`Engine`] is one association: made for one handshake, used until it ends, dropped.
//! 1. [`Engine::input`] takes a datagram; it is looked at by the next call of the following.
//! 2. [`Engine::handshake`] until it is done, then [`Engine::read`] until nothing is left.
//! 3. [`Engine::output`] until `None`, then [`Engine::deadline`]; when that has passed, 2 again.
//!
//! What makes it sound:
//! - Everything that Mbed TLS keeps a pointer to (configuration, certificates, key, list of suites,
//!   [`Wire`], [`Judge`]) lives in one [`Parts`] on the heap, which never moves and is freed behind
//!   the context that uses it. Nothing of it is replaced once Mbed TLS knows it.
//! - [`Parts`] is only reached through its raw pointer, field by field. No reference to a field
//!   that callbacks use is alive while C code runs.
//! - Each callback gets a pointer to exactly one field. None panics; if one did, `extern "C"`
//!   aborts and never unwinds into C.
//! - Mbed TLS is built without threads: an engine may go to another thread (`Send`), and a value
//!   with raw pointers is never `Sync`. The only state that engines share, lists of suites and
//!   curves, is made once under [`Once`].
#![expect(
    unsafe_code,
    reason = "the DTLS engine is a C library; design.md, 8 names this file"
)]

use std::{
    ffi::{CStr, c_int, c_uchar, c_void},
    fmt, ptr, slice,
    sync::Once,
    time::Duration,
};

use mbedtls_rs_sys as sys;
use zeroize::Zeroizing;

#[cfg(feature = "test-server")]
use crate::serving::Side;
use crate::{
    codes::{self, End, Flaw},
    security::Unusable,
    suite::Suite,
    verify::{Judge, Seen, unix_time},
    wire::Wire,
};

/// One association with one peer.
pub(crate) struct Engine {
    parts: *mut Parts,
}

// SAFETY: nothing in `Parts` belongs to a thread; the pointer is owned by this value alone.
unsafe impl Send for Engine {}

/// What C code points to. Never moved; freed by [`Engine::drop`].
struct Parts {
    anchors: Certificates,
    conf: sys::mbedtls_ssl_config,
    judge: Option<Judge>,
    key: sys::mbedtls_pk_context,
    /// The identifier and suite of the session that we wish to resume.
    offered: Option<(Vec<u8>, c_int)>,
    own: Certificates,
    #[cfg(feature = "test-server")]
    side: Option<Side>,
    ssl: sys::mbedtls_ssl_context,
    /// Ends with 0.
    suites: Vec<c_int>,
    wire: Wire,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Endpoint {
    Client,
    #[cfg(feature = "test-server")]
    Server,
}

/// What most messages fit in.
const USUAL_MESSAGE: usize = 2048;

/// More certificates do not make a chain.
const MAX_SEEN: usize = 16;

impl Engine {
    /// Initialised, with the parts that every association has.
    pub(crate) fn new(endpoint: Endpoint, suites: &[Suite]) -> Result<Self, Unusable> {
        static LISTS: Once = Once::new();
        // SAFETY: fills two static lists, which are only read afterwards.
        LISTS.call_once(|| unsafe {
            sys::mbedtls_ssl_list_ciphersuites();
            sys::mbedtls_ecp_grp_id_list();
        });
        let numbers = suites.iter().map(|suite| c_int::from(suite.number));
        let parts = Box::into_raw(Box::new(Parts {
            anchors: Certificates::new(),
            conf: sys::mbedtls_ssl_config::default(),
            judge: None,
            key: sys::mbedtls_pk_context::default(),
            offered: None,
            own: Certificates::new(),
            #[cfg(feature = "test-server")]
            side: None,
            ssl: sys::mbedtls_ssl_context::default(),
            suites: numbers.chain([0]).collect(),
            wire: Wire::default(),
        }));
        let engine = Self { parts };
        let endpoint = match endpoint {
            Endpoint::Client => sys::MBEDTLS_SSL_IS_CLIENT,
            #[cfg(feature = "test-server")]
            Endpoint::Server => sys::MBEDTLS_SSL_IS_SERVER,
        };
        // SAFETY: all pointers are to fields of the live `Parts`; the list of suites ends with 0
        // and is never changed.
        unsafe {
            sys::mbedtls_pk_init(&raw mut (*parts).key);
            sys::mbedtls_ssl_config_init(engine.conf());
            sys::mbedtls_ssl_init(engine.ssl());
            accepted(sys::mbedtls_ssl_config_defaults(
                engine.conf(),
                endpoint as c_int,
                sys::MBEDTLS_SSL_TRANSPORT_DATAGRAM as c_int,
                sys::MBEDTLS_SSL_PRESET_DEFAULT as c_int,
            ))?;
            sys::mbedtls_ssl_conf_rng(engine.conf(), Some(random), ptr::null_mut());
            sys::mbedtls_ssl_conf_ciphersuites(engine.conf(), (*parts).suites.as_ptr());
            // Tickets cost bytes in every handshake; identifiers do the same.
            sys::mbedtls_ssl_conf_session_tickets(
                engine.conf(),
                sys::MBEDTLS_SSL_SESSION_TICKETS_DISABLED as c_int,
            );
        }
        Ok(engine)
    }

    /// The first time after which a flight is repeated, and the last.
    pub(crate) fn set_timers(&mut self, first: Duration, last: Duration) {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: the configuration was initialised.
        unsafe {
            sys::mbedtls_ssl_conf_handshake_timeout(self.conf(), millis(first), millis(last));
        }
    }

    /// The key that both sides know.
    pub(crate) fn share(&mut self, identity: &[u8], key: &[u8]) -> Result<(), Unusable> {
        // SAFETY: the configuration was initialised; identity and key are copied.
        let result = unsafe {
            sys::mbedtls_ssl_conf_psk(
                self.conf(),
                key.as_ptr(),
                key.len(),
                identity.as_ptr(),
                identity.len(),
            )
        };
        accepted(result).map_err(|_| Unusable::KeyLength)
    }

    /// Our certificate and key, which are checked to belong together.
    pub(crate) fn present(&mut self, chain: &[Vec<u8>], key: &[u8]) -> Result<(), Unusable> {
        let mut own = Certificates::new();
        for der in chain {
            own.add(der).ok_or(Unusable::CertificateUnreadable)?;
        }
        let parts = self.parts;
        // SAFETY: the configuration does not know `own` and `key` yet; they stay where they are
        // for as long as it refers to them. The bytes of the key are copied.
        unsafe {
            (*parts).own = own;
            let (own, pair) = ((*parts).own.get(), &raw mut (*parts).key);
            accepted(sys::mbedtls_pk_parse_key(
                pair,
                key.as_ptr(),
                key.len(),
                ptr::null(),
                0,
                Some(random),
                ptr::null_mut(),
            ))
            .map_err(|_| Unusable::KeyUnreadable)?;
            let public = &raw const (*own).pk;
            let random: sys::mbedtls_f_rng_t = Some(random);
            accepted(sys::mbedtls_pk_check_pair(
                public,
                pair,
                random,
                ptr::null_mut(),
            ))
            .map_err(|_| Unusable::KeyMismatch)?;
            accepted(sys::mbedtls_ssl_conf_own_cert(self.conf(), own, pair))
        }
    }

    /// Asks the peer for a certificate. With a judge nothing is accepted but by its word; without
    /// one, what leads to an anchor. No anchors are a valid list, which signs nothing.
    pub(crate) fn trust(&mut self, anchors: Certificates, judge: Option<Judge>) {
        let (parts, judged) = (self.parts, judge.is_some());
        // SAFETY: the configuration does not know `anchors` and `judge` yet; they stay where they
        // are for as long as it refers to them. The pointer to `judge` is used by `verify` only.
        unsafe {
            (*parts).anchors = anchors;
            (*parts).judge = judge;
            let conf = self.conf();
            sys::mbedtls_ssl_conf_ca_chain(conf, (*parts).anchors.get(), ptr::null_mut());
            sys::mbedtls_ssl_conf_authmode(conf, sys::MBEDTLS_SSL_VERIFY_REQUIRED as c_int);
            if judged {
                sys::mbedtls_ssl_conf_verify(conf, Some(verify), (&raw mut (*parts).judge).cast());
            }
        }
    }

    /// Ends the configuration. `connection_id`: our own, possibly empty, if there shall be any.
    pub(crate) fn set_up(&mut self, connection_id: Option<&[u8]>) -> Result<(), Unusable> {
        let (conf, ssl) = (self.conf(), self.ssl());
        // SAFETY: context and configuration were initialised, and the configuration outlives the
        // context. The pointer to `wire` is used by these four callbacks only. The identifier is
        // copied.
        unsafe {
            if let Some(own) = connection_id {
                (*self.parts).wire.own_id = own.len();
                let ignore = sys::MBEDTLS_SSL_UNEXPECTED_CID_IGNORE as c_int;
                accepted(sys::mbedtls_ssl_conf_cid(conf, own.len(), ignore))?;
            }
            accepted(sys::mbedtls_ssl_setup(ssl, conf))?;
            let wire: *mut c_void = (&raw mut (*self.parts).wire).cast();
            sys::mbedtls_ssl_set_bio(ssl, wire, Some(send), Some(receive), None);
            sys::mbedtls_ssl_set_timer_cb(ssl, wire, Some(set_timer), Some(get_timer));
            if let Some(own) = connection_id {
                let enabled = sys::MBEDTLS_SSL_CID_ENABLED as c_int;
                accepted(sys::mbedtls_ssl_set_cid(
                    ssl,
                    enabled,
                    own.as_ptr(),
                    own.len(),
                ))?;
            }
        }
        Ok(())
    }

    /// The name to ask for and to find in the certificate; `None` where there is none to check.
    pub(crate) fn set_name(&mut self, name: Option<&CStr>) -> Result<(), Unusable> {
        let name = name.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: the context is set up; the name is copied, and ends with 0.
        accepted(unsafe { sys::mbedtls_ssl_set_hostname(self.ssl(), name) })
    }

    /// The most that a datagram may have; 0: what a record can hold.
    pub(crate) fn set_mtu(&mut self, mtu: u16) {
        // SAFETY: the context is set up.
        unsafe { sys::mbedtls_ssl_set_mtu(self.ssl(), mtu) };
    }

    /// Asks the server to take up a former session. What cannot be read is not offered.
    pub(crate) fn offer(&mut self, memory: &[u8]) {
        let mut session = Session::new();
        // SAFETY: the context is set up and its handshake has not begun; the session is copied.
        let taken = unsafe {
            sys::mbedtls_ssl_session_load(session.get(), memory.as_ptr(), memory.len()) == 0
                && sys::mbedtls_ssl_set_session(self.ssl(), session.get()) == 0
        };
        if taken {
            // SAFETY: no C code runs.
            unsafe { (*self.parts).offered = Some(name(&session.0)) };
        }
    }

    /// Takes up an association where [`Self::freeze`] has left it. After `false` the engine can
    /// only be dropped.
    pub(crate) fn load(&mut self, frozen: &[u8]) -> bool {
        // SAFETY: the context is set up and unused; the slice is only read. On failure Mbed TLS
        // frees the context and leaves it as after its initialisation: it may be freed again.
        unsafe { sys::mbedtls_ssl_context_load(self.ssl(), frozen.as_ptr(), frozen.len()) == 0 }
    }

    /// A datagram of the peer, for the next [`Self::handshake`] or [`Self::read`].
    pub(crate) fn input(&mut self, datagram: Vec<u8>) {
        self.wire().put(datagram);
    }

    /// The next datagram for the peer.
    pub(crate) fn output(&mut self) -> Option<Vec<u8>> {
        self.wire().poll()
    }

    /// When the flight has to be repeated.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        // SAFETY: no C code runs.
        let wire = unsafe { &(*self.parts).wire };
        wire.deadline()
    }

    /// Carries the handshake on; `true`: it is done.
    pub(crate) fn handshake(&mut self, now: Duration) -> Result<bool, End> {
        self.wire().now = now;
        // SAFETY: the context is set up.
        match unsafe { sys::mbedtls_ssl_handshake(self.ssl()) } {
            0 => Ok(true),
            code if codes::is_waiting(code) => Ok(false),
            code => Err(self.end(code)),
        }
    }

    /// The next message of what came.
    pub(crate) fn read(&mut self, now: Duration) -> Result<Option<Vec<u8>>, End> {
        self.wire().now = now;
        let mut message = vec![0; USUAL_MESSAGE];
        let length = self.read_into(&mut message);
        let Ok(length) = usize::try_from(length) else {
            return if codes::is_waiting(length) {
                Ok(None)
            } else {
                Err(self.end(length))
            };
        };
        message.truncate(length);
        // SAFETY: the context is set up.
        let more = unsafe { sys::mbedtls_ssl_get_bytes_avail(self.ssl()) };
        if more > 0 {
            message.resize(length + more, 0);
            let rest = self.read_into(&mut message[length..]);
            message.truncate(length + usize::try_from(rest).unwrap_or(0));
        }
        Ok(Some(message))
    }

    fn read_into(&mut self, buffer: &mut [u8]) -> c_int {
        // SAFETY: the context is set up; at most the length of the buffer is written.
        unsafe { sys::mbedtls_ssl_read(self.ssl(), buffer.as_mut_ptr(), buffer.len()) }
    }

    /// Sends one message in one datagram; an error is a number of Mbed TLS.
    pub(crate) fn write(&mut self, message: &[u8], now: Duration) -> Result<(), i32> {
        self.wire().now = now;
        let mut result = self.write_record(message);
        if result == codes::TOO_LONG && self.let_go_of_flight() {
            result = self.write_record(message);
        }
        if result < 0 { Err(result) } else { Ok(()) }
    }

    fn write_record(&mut self, message: &[u8]) -> c_int {
        // SAFETY: the context is set up; the message is copied.
        unsafe { sys::mbedtls_ssl_write(self.ssl(), message.as_ptr(), message.len()) }
    }

    /// After a resumption our last flight is kept until the server has sent something, and after
    /// repetitions with it a limit of 508 bytes, which holds for messages too. Who has more to say
    /// cannot repeat that flight any more; whether it existed.
    fn let_go_of_flight(&mut self) -> bool {
        unsafe extern "C" {
            // What Mbed TLS calls itself with the first message of the peer (ssl_misc.h).
            fn mbedtls_ssl_handshake_wrapup_free_hs_transform(ssl: *mut sys::mbedtls_ssl_context);
        }
        const OVER: u32 = sys::mbedtls_ssl_states_MBEDTLS_SSL_HANDSHAKE_OVER;
        // SAFETY: the context is set up. The handshake is over, and what was agreed in it is there,
        // as where Mbed TLS calls this.
        unsafe {
            let ssl = self.ssl();
            let is_over = (*ssl).private_state.cast_unsigned() == OVER;
            let is_kept = is_over && !(*ssl).private_handshake.is_null();
            if is_kept {
                mbedtls_ssl_handshake_wrapup_free_hs_transform(ssl);
            }
            is_kept
        }
    }

    pub(crate) fn close_notify(&mut self) {
        // SAFETY: the context is set up. Whether the alert can be sent does not matter.
        let _ = unsafe { sys::mbedtls_ssl_close_notify(self.ssl()) };
    }

    /// Which records were seen. It is another whenever one was authentic, whatever was in it.
    pub(crate) const fn window(&self) -> (u64, u64) {
        // SAFETY: no C code runs.
        unsafe {
            let ssl = self.ssl();
            ((*ssl).private_in_window_top, (*ssl).private_in_window)
        }
    }

    /// Why nothing came of a datagram. Costs as much as reading it.
    pub(crate) fn flaw(&self, mut datagram: Vec<u8>) -> Option<Flaw> {
        /// Of all records under the keys of a first handshake. // RFC 6347, 4.1
        const EPOCH: &[u8] = &[0, 1];
        if datagram.get(3..5) != Some(EPOCH) {
            return Some(Flaw::Malformed);
        }
        // SAFETY: the context is set up; the datagram is ours to be overwritten.
        codes::flaw(unsafe {
            sys::mbedtls_ssl_check_record(self.ssl(), datagram.as_mut_ptr(), datagram.len())
        })
    }

    /// Whether records carry an identifier of the peer's choice, so that our address may change.
    pub(crate) fn has_connection_id(&self) -> bool {
        let mut enabled = 0;
        let mut length = 0;
        let mut id = [0; sys::MBEDTLS_SSL_CID_OUT_LEN_MAX as usize];
        let (flag, bytes, size) = (&raw mut enabled, id.as_mut_ptr(), &raw mut length);
        // SAFETY: the context is set up; the array is as long as identifiers may be.
        let result = unsafe { sys::mbedtls_ssl_get_peer_cid(self.ssl(), flag, bytes, size) };
        result == 0 && enabled == sys::MBEDTLS_SSL_CID_ENABLED as c_int && length > 0
    }

    /// Whether the server has taken up the session that was offered: it repeats its identifier.
    /// // RFC 5246, 7.4.1.3
    pub(crate) fn is_resumed(&self) -> bool {
        // SAFETY: no C code runs. The session belongs to the context, which lives as long as this
        // borrow.
        unsafe {
            let offered = &(*self.parts).offered;
            let agreed = (*self.ssl()).private_session.as_ref();
            offered.is_some() && *offered == agreed.map(name)
        }
    }

    /// The suite that was agreed.
    pub(crate) fn suite(&self) -> Option<Suite> {
        // SAFETY: the context is set up.
        let number = unsafe { sys::mbedtls_ssl_get_ciphersuite_id_from_ssl(self.ssl()) };
        Suite::by_number(u16::try_from(number).ok()?)
    }

    /// What it thinks of the peer's certificate, where there is one to judge.
    pub(crate) fn judge(&self) -> Option<&Judge> {
        // SAFETY: the engine is borrowed for as long as the judge. The calls of C code that need
        // only a shared borrow do not verify certificates.
        let judge = unsafe { &(*self.parts).judge };
        judge.as_ref()
    }

    /// What a later handshake needs to resume this session; `None` where the server does not, and
    /// the second time: Mbed TLS gives a session away once.
    pub(crate) fn memory(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let mut session = Session::new();
        // SAFETY: the context is set up; the session is copied.
        let result = unsafe { sys::mbedtls_ssl_get_session(self.ssl(), session.get()) };
        let (id, _) = name(&session.0);
        if result != 0 || id.is_empty() {
            return None;
        }
        session.save()
    }

    /// The whole association, to go on with later by [`Self::load`], once. Not with CBC, and not
    /// while our last flight may have to be repeated.
    pub(crate) fn freeze(self) -> Option<Zeroizing<Vec<u8>>> {
        save(|buffer, size, length| {
            // SAFETY: the context is set up; at most `size` bytes are written.
            unsafe { sys::mbedtls_ssl_context_save(self.ssl(), buffer, size, length) }
        })
    }

    fn end(&self, code: c_int) -> End {
        let is_alert = code == sys::MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE;
        // SAFETY: the context is set up. With that code the current message is an alert, of which
        // the second byte is the number.
        let (alert, flags, state) = unsafe {
            let ssl = self.ssl();
            let message = (*ssl).private_in_msg;
            let alert = is_alert && !message.is_null();
            (
                if alert { *message.add(1) } else { 0 },
                sys::mbedtls_ssl_get_verify_result(ssl),
                (*ssl).private_state.cast_unsigned(),
            )
        };
        End {
            alert,
            code,
            flags,
            state,
            verdict: self.judge().and_then(|judge| judge.verdict),
        }
    }

    const fn conf(&self) -> *mut sys::mbedtls_ssl_config {
        // SAFETY: makes a pointer to a field of the live `Parts`.
        unsafe { &raw mut (*self.parts).conf }
    }

    const fn ssl(&self) -> *mut sys::mbedtls_ssl_context {
        // SAFETY: makes a pointer to a field of the live `Parts`.
        unsafe { &raw mut (*self.parts).ssl }
    }

    const fn wire(&mut self) -> &mut Wire {
        // SAFETY: the engine is borrowed for as long as the wire, so no C code runs.
        unsafe { &mut (*self.parts).wire }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: all was initialised by `new`. The user of each part is freed before it; the
        // certificates are freed with the box.
        unsafe {
            sys::mbedtls_ssl_free(self.ssl());
            sys::mbedtls_ssl_config_free(self.conf());
            sys::mbedtls_pk_free(&raw mut (*self.parts).key);
            drop(Box::from_raw(self.parts));
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

/// A list of certificates. Its place never changes, since lists of Mbed TLS point into themselves.
pub(crate) struct Certificates(*mut sys::mbedtls_x509_crt);

impl Certificates {
    pub(crate) fn new() -> Self {
        let list = Box::into_raw(Box::new(sys::mbedtls_x509_crt::default()));
        // SAFETY: the box is large enough by its type.
        unsafe { sys::mbedtls_x509_crt_init(list) };
        Self(list)
    }

    /// Adds one; `None`: it cannot be read.
    pub(crate) fn add(&mut self, der: &[u8]) -> Option<()> {
        // SAFETY: the list was initialised; the certificate is copied.
        let result = unsafe { sys::mbedtls_x509_crt_parse_der(self.0, der.as_ptr(), der.len()) };
        (result == 0).then_some(())
    }

    /// From when until when the first is valid, seconds since 1970.
    pub(crate) fn validity(&self) -> (i64, i64) {
        // SAFETY: the list was initialised.
        let first = unsafe { &*self.0 };
        (date(&first.valid_from), date(&first.valid_to))
    }

    const fn get(&self) -> *mut sys::mbedtls_x509_crt {
        self.0
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        // SAFETY: it was initialised and comes from a box.
        unsafe {
            sys::mbedtls_x509_crt_free(self.0);
            drop(Box::from_raw(self.0));
        }
    }
}

/// A session of Mbed TLS that is freed, and so wiped, whatever happens.
struct Session(Box<sys::mbedtls_ssl_session>);

impl Session {
    fn new() -> Self {
        let mut session = Box::new(sys::mbedtls_ssl_session::default());
        // SAFETY: the box is large enough by its type.
        unsafe { sys::mbedtls_ssl_session_init(&raw mut *session) };
        Self(session)
    }

    fn get(&mut self) -> *mut sys::mbedtls_ssl_session {
        &raw mut *self.0
    }

    fn save(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        save(|buffer, size, length| {
            // SAFETY: the session was initialised; at most `size` bytes are written.
            unsafe { sys::mbedtls_ssl_session_save(self.get(), buffer, size, length) }
        })
    }
}

/// Identifier and suite of a session.
fn name(session: &sys::mbedtls_ssl_session) -> (Vec<u8>, c_int) {
    let id = session.private_id.get(..session.private_id_len);
    let id = id.unwrap_or_default().to_vec();
    (id, session.private_ciphersuite)
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: it was initialised.
        unsafe { sys::mbedtls_ssl_session_free(self.get()) };
    }
}

/// Calls a function of Mbed TLS that writes something of unknown length: first for the length.
fn save(
    mut write: impl FnMut(*mut c_uchar, usize, *mut usize) -> c_int,
) -> Option<Zeroizing<Vec<u8>>> {
    let mut length = 0;
    if write(ptr::null_mut(), 0, &raw mut length) != sys::MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL {
        return None;
    }
    let mut saved = Zeroizing::new(vec![0; length]);
    let result = write(saved.as_mut_ptr(), saved.len(), &raw mut length);
    (result == 0).then_some(saved)
}

const fn accepted(result: c_int) -> Result<(), Unusable> {
    if result == 0 {
        Ok(())
    } else {
        Err(Unusable::Engine(result))
    }
}

/// Fills from the operating system.
///
/// # Safety
/// `output` has room for `length` bytes.
unsafe fn fill(output: *mut c_uchar, length: usize) -> bool {
    if length == 0 {
        return true;
    }
    // SAFETY: by the caller. The bytes are written first, since they may be uninitialised.
    let output = unsafe {
        ptr::write_bytes(output, 0, length);
        slice::from_raw_parts_mut(output, length)
    };
    getrandom::fill(output).is_ok()
}

unsafe extern "C" fn random(_: *mut c_void, output: *mut c_uchar, length: usize) -> c_int {
    // SAFETY: Mbed TLS gives a buffer of this length.
    if unsafe { fill(output, length) } {
        0
    } else {
        sys::MBEDTLS_ERR_SSL_NO_RNG
    }
}

/// What the PSA half of the library asks for.
///
/// # Safety
/// As its header says: `output` has room for `size` bytes, `length` may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn mbedtls_psa_external_get_random(
    _: *mut sys::mbedtls_psa_external_random_context_t,
    output: *mut u8,
    size: usize,
    length: *mut usize,
) -> sys::psa_status_t {
    const SUCCESS: sys::psa_status_t = 0;
    const INSUFFICIENT_ENTROPY: sys::psa_status_t = -148;
    // SAFETY: by the caller.
    unsafe {
        if fill(output, size) {
            *length = size;
            SUCCESS
        } else {
            INSUFFICIENT_ENTROPY
        }
    }
}

// For all callbacks below: the first argument is the pointer that was handed over with the
// callback; what it points to is alive, and no reference to it is.

unsafe extern "C" fn send(wire: *mut c_void, bytes: *const c_uchar, length: usize) -> c_int {
    // SAFETY: the bytes are readable; the rest as said above.
    unsafe { (*wire.cast::<Wire>()).send(slice::from_raw_parts(bytes, length)) };
    c_int::try_from(length).unwrap_or(c_int::MAX)
}

unsafe extern "C" fn receive(wire: *mut c_void, buffer: *mut c_uchar, room: usize) -> c_int {
    let room = room.min(c_int::MAX as usize);
    // SAFETY: as said above.
    let Some(datagram) = (unsafe { (*wire.cast::<Wire>()).take(room) }) else {
        return sys::MBEDTLS_ERR_SSL_WANT_READ;
    };
    // SAFETY: the buffer has room for what was taken.
    unsafe { ptr::copy_nonoverlapping(datagram.as_ptr(), buffer, datagram.len()) };
    datagram.len() as c_int
}

unsafe extern "C" fn set_timer(wire: *mut c_void, half: u32, end: u32) {
    // SAFETY: as said above.
    unsafe { (*wire.cast::<Wire>()).set_timer(half, end) };
}

unsafe extern "C" fn get_timer(wire: *mut c_void) -> c_int {
    // SAFETY: as said above.
    unsafe { (*wire.cast::<Wire>()).timer() }
}

/// Hears of each certificate, the peer's own (depth 0) last, and then decides: no flaw that Mbed
/// TLS has found counts by itself, and nothing is accepted that the judge has not accepted.
unsafe extern "C" fn verify(
    judge: *mut c_void,
    certificate: *mut sys::mbedtls_x509_crt,
    depth: c_int,
    flags: *mut u32,
) -> c_int {
    let slot = judge.cast::<Option<Judge>>();
    // SAFETY: as said above; certificate and flags live during the call.
    unsafe {
        note(slot, certificate, depth, *flags);
        *flags = 0;
        if depth != 0 {
            return 0;
        }
        find_anchor(slot, certificate);
        *flags = match (*slot).as_mut().map(Judge::decide) {
            Some(Ok(_)) => 0,
            Some(Err(why)) => codes::flag(why),
            None => codes::REFUSED,
        };
    }
    0
}

/// Only takes note, for the chain to an anchor that the peer has sent itself.
unsafe extern "C" fn take_note(
    judge: *mut c_void,
    certificate: *mut sys::mbedtls_x509_crt,
    depth: c_int,
    flags: *mut u32,
) -> c_int {
    // SAFETY: as said above; certificate and flags live during the call.
    unsafe { note(judge.cast(), certificate, depth, *flags) };
    0
}

/// # Safety
/// `slot` as for callbacks; the certificate was parsed.
unsafe fn note(
    slot: *mut Option<Judge>,
    certificate: *const sys::mbedtls_x509_crt,
    depth: c_int,
    flags: u32,
) {
    // SAFETY: by the caller.
    unsafe {
        let Some(judge) = (*slot).as_mut() else {
            return;
        };
        let certificate = &*certificate;
        if judge.seen.len() < MAX_SEEN {
            judge.see(Seen {
                addresses: addresses(certificate),
                common_names: common_names(certificate),
                depth: usize::try_from(depth).unwrap_or_default(),
                der: bytes(certificate.raw.p, certificate.raw.len).to_vec(),
                flaws: codes::flaws(flags),
                valid_from: date(&certificate.valid_from),
                valid_to: date(&certificate.valid_to),
            });
        }
    }
}

/// Where the account knows its trust anchor by a hash only, the server sends the anchor with its
/// chain: it is found there, and the chain is judged by it. // RFC 6698, 2.1.1; RFC 7671, 5.2
///
/// # Safety
/// As for [`note`]; `leaf` begins the list that the server has sent.
unsafe fn find_anchor(slot: *mut Option<Judge>, leaf: *mut sys::mbedtls_x509_crt) {
    // SAFETY: by the caller. No reference to the judge is alive during the verification.
    unsafe {
        let Some(judge) = (*slot).as_mut() else {
            return;
        };
        if !judge.rules.names_anchor_by_hash() {
            return;
        }
        let mut anchor = Certificates::new();
        let mut next = (*leaf).next;
        while let Some(certificate) = next.as_ref() {
            let der = bytes(certificate.raw.p, certificate.raw.len);
            if judge.rules.matches(der) && anchor.add(der).is_some() {
                break;
            }
            next = certificate.next;
        }
        let name = judge.begin_again();
        let mut flags = 0;
        // Whatever it says, the judge has heard of each certificate.
        let _ = sys::mbedtls_x509_crt_verify_with_profile(
            leaf,
            anchor.get(),
            ptr::null_mut(),
            &raw const sys::mbedtls_x509_crt_profile_default,
            ptr::null(),
            &raw mut flags,
            Some(take_note),
            slot.cast(),
        );
        if let Some(judge) = (*slot).as_mut() {
            judge.keep_name(name);
        }
    }
}

/// # Safety
/// `p` is null, or points to as many readable bytes as said.
const unsafe fn bytes<'a>(p: *const c_uchar, length: usize) -> &'a [u8] {
    if p.is_null() {
        return &[];
    }
    // SAFETY: by the caller.
    unsafe { slice::from_raw_parts(p, length) }
}

/// The addresses among the alternative names; `None`: there are no alternative names at all.
///
/// # Safety
/// The certificate was parsed: its lists end with null, and their bytes are readable.
unsafe fn addresses(certificate: &sys::mbedtls_x509_crt) -> Option<Vec<Vec<u8>>> {
    /// iPAddress. // RFC 5280, 4.2.1.6
    const ADDRESS: c_int = 7;
    const KIND: c_int = 0x1f;
    if certificate.subject_alt_names.buf.p.is_null() {
        return None;
    }
    let mut addresses = Vec::new();
    let mut next = Some(&certificate.subject_alt_names);
    while let Some(entry) = next {
        // SAFETY: by the caller.
        unsafe {
            if entry.buf.tag & KIND == ADDRESS {
                addresses.push(bytes(entry.buf.p, entry.buf.len).to_vec());
            }
            next = entry.next.as_ref();
        }
    }
    Some(addresses)
}

/// # Safety
/// As for [`addresses`].
unsafe fn common_names(certificate: &sys::mbedtls_x509_crt) -> Vec<Vec<u8>> {
    /// id-at-commonName. // RFC 5280, A.1
    const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    let mut names = Vec::new();
    let mut next = Some(&certificate.subject);
    while let Some(part) = next {
        // SAFETY: by the caller.
        unsafe {
            if bytes(part.oid.p, part.oid.len) == COMMON_NAME {
                names.push(bytes(part.val.p, part.val.len).to_vec());
            }
            next = part.next.as_ref();
        }
    }
    names
}

fn date(time: &sys::mbedtls_x509_time) -> i64 {
    unix_time(
        [time.year, time.mon, time.day].map(i64::from),
        [time.hour, time.min, time.sec].map(i64::from),
    )
}

/// The other end, for tests and the demo.
#[cfg(feature = "test-server")]
mod server {
    use super::{Engine, Side, Unusable, accepted, bytes, c_int, c_uchar, c_void, ptr, sys};
    use crate::serving::COOKIE;

    impl Engine {
        /// Makes it a server's. `cookie`: whether the client must show first that it receives at
        /// its address. // RFC 6347, 4.2.1
        pub(crate) fn serve(&mut self, side: Side, cookie: bool) {
            let conf = self.conf();
            // SAFETY: the configuration was initialised and does not know `side` yet, which stays
            // where it is. The pointer to `side` is used by these callbacks only.
            unsafe {
                (*self.parts).side = Some(side);
                let side: *mut c_void = (&raw mut (*self.parts).side).cast();
                sys::mbedtls_ssl_conf_psk_cb(conf, Some(find_key), side);
                sys::mbedtls_ssl_conf_session_cache(conf, side, Some(recall), Some(keep));
                if cookie {
                    let (write, check) = (Some(write_cookie as _), Some(check_cookie as _));
                    sys::mbedtls_ssl_conf_dtls_cookies(conf, write, check, side);
                } else {
                    sys::mbedtls_ssl_conf_dtls_cookies(conf, None, None, ptr::null_mut());
                }
            }
        }

        /// What the cookie is bound to. Once per handshake.
        pub(crate) fn set_address(&mut self, address: &[u8]) -> Result<(), Unusable> {
            // SAFETY: the context is set up; the bytes are copied.
            accepted(unsafe {
                sys::mbedtls_ssl_set_client_transport_id(
                    self.ssl(),
                    address.as_ptr(),
                    address.len(),
                )
            })
        }

        /// Begins the handshake again, as after a cookie was asked for.
        pub(crate) fn reset(&mut self, connection_id: Option<&[u8]>) -> Result<(), Unusable> {
            // SAFETY: the context is set up; the identifier is copied.
            unsafe {
                accepted(sys::mbedtls_ssl_session_reset(self.ssl()))?;
                if let Some(own) = connection_id {
                    let enabled = sys::MBEDTLS_SSL_CID_ENABLED as c_int;
                    accepted(sys::mbedtls_ssl_set_cid(
                        self.ssl(),
                        enabled,
                        own.as_ptr(),
                        own.len(),
                    ))?;
                }
            }
            Ok(())
        }

        /// An alert that ends nothing.
        pub(crate) fn warn(&mut self, alert: u8) {
            unsafe extern "C" {
                // ssl_misc.h
                fn mbedtls_ssl_send_alert_message(
                    ssl: *mut sys::mbedtls_ssl_context,
                    level: c_uchar,
                    message: c_uchar,
                ) -> c_int;
            }
            const WARNING: c_uchar = 1;
            // SAFETY: the context is set up. Whether the alert can be sent does not matter.
            let _ = unsafe { mbedtls_ssl_send_alert_message(self.ssl(), WARNING, alert) };
        }

        /// Who the client has shown to be: the identity of its key, or the common name of its
        /// certificate.
        pub(crate) fn client_identity(&self) -> Option<Vec<u8>> {
            // SAFETY: the context is set up, and no C code runs. The certificate belongs to the
            // context, which lives as long as this borrow.
            unsafe {
                let side = &(*self.parts).side;
                let identity = side.as_ref().and_then(|side| side.identity.clone());
                let certificate = sys::mbedtls_ssl_get_peer_cert(self.ssl()).as_ref();
                identity.or_else(|| super::common_names(certificate?).into_iter().next())
            }
        }

        pub(crate) const COOKIE_ASKED: i32 = sys::MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED;
    }

    const REFUSED: c_int = sys::MBEDTLS_ERR_SSL_UNKNOWN_IDENTITY;

    unsafe extern "C" fn find_key(
        side: *mut c_void,
        ssl: *mut sys::mbedtls_ssl_context,
        identity: *const c_uchar,
        length: usize,
    ) -> c_int {
        // SAFETY: as said for all callbacks; the identity is readable, the key is copied.
        unsafe {
            let side = (*side.cast::<Option<Side>>()).as_mut();
            let Some(key) = side.and_then(|side| side.key_of(bytes(identity, length))) else {
                return REFUSED;
            };
            let key = key.expose();
            sys::mbedtls_ssl_set_hs_psk(ssl, key.as_ptr(), key.len())
        }
    }

    unsafe extern "C" fn recall(
        side: *mut c_void,
        id: *const c_uchar,
        length: usize,
        session: *mut sys::mbedtls_ssl_session,
    ) -> c_int {
        // SAFETY: as said for all callbacks; the identifier is readable, the session initialised.
        unsafe {
            let side = (*side.cast::<Option<Side>>()).as_mut();
            let Some(saved) = side.and_then(|side| side.recall(bytes(id, length))) else {
                return sys::MBEDTLS_ERR_SSL_CACHE_ENTRY_NOT_FOUND;
            };
            sys::mbedtls_ssl_session_load(session, saved.as_ptr(), saved.len())
        }
    }

    unsafe extern "C" fn keep(
        side: *mut c_void,
        id: *const c_uchar,
        length: usize,
        session: *const sys::mbedtls_ssl_session,
    ) -> c_int {
        let saved = super::save(|buffer, size, length| {
            // SAFETY: the session is alive; at most `size` bytes are written.
            unsafe { sys::mbedtls_ssl_session_save(session, buffer, size, length) }
        });
        // SAFETY: as said for all callbacks; the identifier is readable.
        unsafe {
            let side = (*side.cast::<Option<Side>>()).as_mut();
            if let (Some(side), Some(saved)) = (side, saved) {
                side.keep(bytes(id, length), saved);
            }
        }
        0
    }

    unsafe extern "C" fn write_cookie(
        side: *mut c_void,
        at: *mut *mut c_uchar,
        end: *mut c_uchar,
        address: *const c_uchar,
        length: usize,
    ) -> c_int {
        // SAFETY: as said for all callbacks; the address is readable, and there is room from `at`
        // to `end`.
        unsafe {
            let side = (*side.cast::<Option<Side>>()).as_ref();
            let room = end.offset_from(*at);
            let Some(side) = side.filter(|_| room >= COOKIE.cast_signed()) else {
                return sys::MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
            };
            let cookie = side.cookie(bytes(address, length));
            ptr::copy_nonoverlapping(cookie.as_ptr(), *at, COOKIE);
            *at = (*at).add(COOKIE);
        }
        0
    }

    unsafe extern "C" fn check_cookie(
        side: *mut c_void,
        cookie: *const c_uchar,
        cookie_length: usize,
        address: *const c_uchar,
        length: usize,
    ) -> c_int {
        // SAFETY: as said for all callbacks; cookie and address are readable.
        unsafe {
            let side = (*side.cast::<Option<Side>>()).as_ref();
            let expected = side.map(|side| side.cookie(bytes(address, length)));
            let given = bytes(cookie, cookie_length);
            if expected.is_some_and(|expected| expected == given) {
                0
            } else {
                -1
            }
        }
    }
}
