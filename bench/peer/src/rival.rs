//! libdatachannel, by its C interface: what it calls back, it calls on its own threads, and there it is counted and answered.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::slice;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use datachannel_sys as rtc;
use serde_json::{Value, json};

use crate::Outcome;
use crate::order::{Caller, ECHO, Seen, Window, answer, call, serve};

/// Octets that wait in front of its own buffer of 1 MiB before the sender does, and how far they drain first.
const FULL: c_int = 256 * 1024;
const LOW: c_int = 128 * 1024;
/// Octets sent before it is asked again how many wait.
const UNASKED: usize = 32 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

static SEEN: Seen = Seen::new();
static SIGNALS: OnceLock<Mutex<UnixStream>> = OnceLock::new();
/// The number that both ends know a connection by, and ours of it.
static CONNECTIONS: Mutex<Option<HashMap<u64, c_int>>> = Mutex::new(None);
static NEWS: OnceLock<Mutex<Sender<News>>> = OnceLock::new();
static ROOM: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
static PINGS: (Mutex<Option<Pings>>, Condvar) = (Mutex::new(None), Condvar::new());

enum News {
    Opened(c_int),
    Ended(c_int),
}

struct Pings {
    message: Vec<u8>,
    window: Window,
    begun: Instant,
    times: Vec<Duration>,
    over: bool,
}

pub fn callee(folder: &str) -> Outcome<()> {
    let news = begin();
    thread::spawn(move || {
        // Not on a thread of its own making: who is called back cannot delete.
        for news in news {
            if let News::Ended(id) = news {
                unsafe { rtc::rtcDeletePeerConnection(id) };
            }
        }
    });
    let socket = Path::new(folder).join("meeting");
    let listener = UnixListener::bind(&socket)?;
    answer(json!({ "address": socket }))?;
    thread::spawn(move || {
        let signals = listener.accept().map(|(stream, _)| stream);
        if let Err(error) = signals.map_err(Into::into).and_then(hear) {
            eprintln!("signals: {error}");
        }
    });
    serve(&SEEN)
}

pub fn caller(socket: &str) -> Outcome<()> {
    let news = begin();
    let signals = UnixStream::connect(socket)?;
    let _ = SIGNALS.set(Mutex::new(signals.try_clone()?));
    thread::spawn(move || hear(signals).inspect_err(|error| eprintln!("signals: {error}")));
    tokio::runtime::Builder::new_current_thread().build()?.block_on(call(Rival { news, next: 0 }))
}

fn begin() -> Receiver<News> {
    unsafe { rtc::rtcInitLogger(rtc::rtcLogLevel_RTC_LOG_ERROR, None) };
    let (sender, news) = channel();
    let _ = NEWS.set(Mutex::new(sender));
    news
}

/// Does what the other end's lines say. An offer makes a connection.
fn hear(signals: UnixStream) -> Outcome<()> {
    let _ = SIGNALS.set(Mutex::new(signals.try_clone()?));
    for line in BufReader::new(signals).lines() {
        let word: Value = serde_json::from_str(&line?)?;
        let number = word["conn"].as_u64().ok_or("a signal without a number")?;
        let text = |name: &str| word[name].as_str().map(CString::new).transpose();
        let known = lock(&CONNECTIONS).get_or_insert_default().get(&number).copied();
        if let (Some(sdp), Some(kind)) = (text("sdp")?, text("type")?) {
            let id = match known {
                Some(id) => id,
                None => connection(number)?,
            };
            unsafe { rtc::rtcSetRemoteDescription(id, sdp.as_ptr(), kind.as_ptr()) };
        } else if let (Some(candidate), Some(mid), Some(id)) = (text("candidate")?, text("mid")?, known) {
            unsafe { rtc::rtcAddRemoteCandidate(id, candidate.as_ptr(), mid.as_ptr()) };
        }
    }
    Ok(())
}

fn connection(number: u64) -> Outcome<c_int> {
    // All zero is its default.
    let config: rtc::rtcConfiguration = unsafe { std::mem::zeroed() };
    let id = unsafe { rtc::rtcCreatePeerConnection(&raw const config) };
    if id < 0 {
        return Err(format!("libdatachannel makes no connection: {id}").into());
    }
    unsafe {
        rtc::rtcSetUserPointer(id, number as usize as *mut c_void);
        rtc::rtcSetLocalDescriptionCallback(id, Some(described));
        rtc::rtcSetLocalCandidateCallback(id, Some(found));
        rtc::rtcSetStateChangeCallback(id, Some(changed));
        rtc::rtcSetDataChannelCallback(id, Some(offered));
    }
    lock(&CONNECTIONS).get_or_insert_default().insert(number, id);
    Ok(id)
}

unsafe extern "C" fn described(_: c_int, sdp: *const c_char, kind: *const c_char, number: *mut c_void) {
    let (sdp, kind) = unsafe { (CStr::from_ptr(sdp), CStr::from_ptr(kind)) };
    signal(&json!({ "conn": number as usize, "sdp": sdp.to_string_lossy(), "type": kind.to_string_lossy() }));
}

unsafe extern "C" fn found(_: c_int, candidate: *const c_char, mid: *const c_char, number: *mut c_void) {
    let (candidate, mid) = unsafe { (CStr::from_ptr(candidate), CStr::from_ptr(mid)) };
    signal(&json!({ "conn": number as usize, "candidate": candidate.to_string_lossy(), "mid": mid.to_string_lossy() }));
}

unsafe extern "C" fn changed(id: c_int, state: rtc::rtcState, number: *mut c_void) {
    if [rtc::rtcState_RTC_CLOSED, rtc::rtcState_RTC_FAILED, rtc::rtcState_RTC_DISCONNECTED].contains(&state)
        && lock(&CONNECTIONS).get_or_insert_default().remove(&(number as usize as u64)).is_some()
    {
        tell(News::Ended(id));
    }
}

unsafe extern "C" fn offered(_: c_int, channel: c_int, _: *mut c_void) {
    unsafe { rtc::rtcSetMessageCallback(channel, Some(arrived)) };
}

/// At the callee.
unsafe extern "C" fn arrived(channel: c_int, message: *const c_char, size: c_int, _: *mut c_void) {
    let length = usize::try_from(size).unwrap_or_default();
    if length > 0 && unsafe { *message.cast::<u8>() } == ECHO {
        unsafe { rtc::rtcSendMessage(channel, message, size) };
    } else {
        SEEN.count(length);
    }
}

/// At the caller: the answer to a ping, which is followed by the next.
unsafe extern "C" fn answered(channel: c_int, message: *const c_char, size: c_int, _: *mut c_void) {
    let echoed = unsafe { slice::from_raw_parts(message.cast::<u8>(), usize::try_from(size).unwrap_or_default()) };
    let mut pings = lock(&PINGS.0);
    let Some(pings) = pings.as_mut().filter(|pings| pings.message == echoed) else { return };
    if pings.window.has_begun() {
        pings.times.push(pings.begun.elapsed());
    }
    pings.over = pings.window.is_over();
    if pings.over {
        return PINGS.1.notify_all();
    }
    pings.begun = Instant::now();
    send(channel, &pings.message);
}

unsafe extern "C" fn opened(channel: c_int, _: *mut c_void) {
    tell(News::Opened(channel));
}

unsafe extern "C" fn drained(_: c_int, _: *mut c_void) {
    *lock(&ROOM.0) = true;
    ROOM.1.notify_all();
}

struct Rival {
    news: Receiver<News>,
    next: u64,
}

/// A connection and its channel.
struct Conn(c_int, c_int);

impl Caller for Rival {
    type Conn = Conn;

    async fn open(&mut self) -> Outcome<Conn> {
        let id = connection(self.next)?;
        self.next += 1;
        let channel = unsafe { rtc::rtcCreateDataChannel(id, c"bench".as_ptr()) };
        unsafe {
            rtc::rtcSetOpenCallback(channel, Some(opened));
            rtc::rtcSetMessageCallback(channel, Some(answered));
            rtc::rtcSetBufferedAmountLowThreshold(channel, LOW);
            rtc::rtcSetBufferedAmountLowCallback(channel, Some(drained));
        }
        loop {
            match self.news.recv_timeout(PATIENCE)? {
                News::Opened(other) if other == channel => return Ok(Conn(id, channel)),
                News::Ended(other) if other == id => return Err("the connection ended before it opened".into()),
                _ => {}
            }
        }
    }

    async fn close(&mut self, Conn(id, _): Conn) -> Outcome<()> {
        unsafe { rtc::rtcDeletePeerConnection(id) };
        Ok(())
    }

    async fn send(&mut self, &mut Conn(_, channel): &mut Conn, size: usize, window: Window) -> Outcome<()> {
        let message = vec![b'x'; size];
        let mut unasked = 0;
        while !window.is_over() {
            send(channel, &message);
            unasked += size;
            if unasked < UNASKED {
                continue;
            }
            unasked = 0;
            *lock(&ROOM.0) = false;
            if unsafe { rtc::rtcGetBufferedAmount(channel) } > FULL {
                let room = ROOM.1.wait_timeout_while(lock(&ROOM.0), PATIENCE, |room| !*room);
                if room.is_ok_and(|(_, waited)| waited.timed_out()) {
                    return Err("nothing drains".into());
                }
            }
        }
        Ok(())
    }

    async fn ping(&mut self, &mut Conn(_, channel): &mut Conn, size: usize, window: Window) -> Outcome<Vec<Duration>> {
        let message = vec![ECHO; size];
        *lock(&PINGS.0) = Some(Pings { message: message.clone(), window, begun: Instant::now(), times: Vec::new(), over: false });
        send(channel, &message);
        let over = PINGS.1.wait_timeout_while(lock(&PINGS.0), PATIENCE, |pings| pings.as_ref().is_some_and(|pings| !pings.over));
        let mut pings = over.map_err(|_| "a callback panicked")?.0;
        pings.take().filter(|pings| pings.over).map(|pings| pings.times).ok_or_else(|| "no answer came".into())
    }
}

fn send(channel: c_int, message: &[u8]) {
    unsafe { rtc::rtcSendMessage(channel, message.as_ptr().cast(), message.len() as c_int) };
}

fn signal(word: &Value) {
    if let Some(signals) = SIGNALS.get() {
        // An end that is gone hears nothing.
        let _ = lock(signals).write_all(format!("{word}\n").as_bytes());
    }
}

fn tell(news: News) {
    if let Some(sender) = NEWS.get() {
        let _ = lock(sender).send(news);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
