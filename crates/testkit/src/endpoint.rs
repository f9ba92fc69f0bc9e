//! The server: a thread with a runtime of its own, so that tests need to know nothing of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::dialect::{self, CACHED_TOKENS, Dialect, INPUT_TOKENS, OUTPUT_TOKENS};
use crate::reply::Reply;
use crate::script::{Answer, Script, Turns};

/// Bytes of one request; a long conversation with all tool descriptions stays far below.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A model provider on a local port. It ends when it is dropped.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    played: Arc<Played>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// `POST`, say.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The value of the header that carries credentials, by any of its names.
    pub credentials: Option<String>,
    /// How the request was understood; `None` for what is no request to a model.
    pub dialect: Option<Dialect>,
    /// The body, lossily where it is not UTF-8.
    pub body: String,
    /// What the script answered; `None` for asides and for what is no request to a model.
    pub answer: Option<Answer>,
    /// The tokens that the provider counted for it.
    pub counted: Option<Counted>,
}

/// Tokens as a provider counts them: cached ones are part of the input, reasoning is part of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests.
    pub requests: u64,
    /// Tokens that the model read.
    pub input: u64,
    /// Of them, those that came from a cache.
    pub cached: u64,
    /// Tokens that the model wrote.
    pub output: u64,
}

impl Counted {
    const ONE: Counted =
        Counted { requests: 1, input: INPUT_TOKENS, cached: CACHED_TOKENS, output: OUTPUT_TOKENS };

    /// All of `requests`, asides included.
    #[must_use]
    pub fn of(requests: &[Received]) -> Counted {
        requests.iter().filter_map(|request| request.counted).fold(Counted::default(), |sum, one| Counted {
            requests: sum.requests + one.requests,
            input: sum.input + one.input,
            cached: sum.cached + one.cached,
            output: sum.output + one.output,
        })
    }
}

#[derive(Debug)]
struct Played {
    state: Mutex<Progress>,
    grown: Condvar,
}

#[derive(Debug)]
struct Progress {
    script: Script,
    received: Vec<Received>,
}

impl Played {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    /// Starts to play `script` on a free port of this machine.
    ///
    /// # Errors
    /// There is no port or no thread to be had.
    pub fn start(script: Script) -> io::Result<Endpoint> {
        Endpoint::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script)
    }

    /// Starts to play `script` where another one listened before.
    ///
    /// # Errors
    /// Somebody listens there, or there is no thread to be had.
    pub fn start_at(address: SocketAddr, script: Script) -> io::Result<Endpoint> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Mutex::new(Progress { script, received: Vec::new() });
        let played = Arc::new(Played { state, grown: Condvar::new() });
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let served = Arc::clone(&played);
        let thread = std::thread::Builder::new().name("model endpoint".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    ended = serve(listener, served) => if let Err(error) = ended {
                        eprintln!("the model endpoint ended: {error}");
                    },
                    // Stopped, or forgotten: both end it.
                    _ = stopped => {}
                }
            });
            // Connections that hang on purpose do not end by themselves.
            runtime.shutdown_background();
        })?;
        Ok(Endpoint { address, played, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Plays `script` from the next request on.
    pub fn play(&self, script: Script) {
        self.played.lock().script = script;
    }

    /// Where it listens, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, in the order in which they came.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.played.lock().received.clone()
    }

    /// Waits until the script has given `count` answers, and says whether it came to that within `patience`.
    #[must_use]
    pub fn wait_for_answers(&self, count: usize, patience: Duration) -> bool {
        let progress = self.played.lock();
        let short = |progress: &mut Progress| {
            progress.received.iter().filter(|one| one.answer.is_some()).count() < count
        };
        match self.played.grown.wait_timeout_while(progress, patience, short) {
            Ok((_, waited)) => !waited.timed_out(),
            Err(_poisoned) => false,
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the model endpoint panicked");
        }
    }
}

async fn serve(listener: std::net::TcpListener, played: Arc<Played>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, Router::new().fallback(answer).with_state(played)).await
}

async fn answer(State(played): State<Arc<Played>>, request: Request) -> Response {
    let method = request.method().clone();
    let path = request.uri().to_string();
    let credentials = ["authorization", "x-api-key", "x-goog-api-key"]
        .iter()
        .find_map(|name| request.headers().get(*name))
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let body = match to_bytes(request.into_body(), REQUEST_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => return response(Reply::json(400, json!({ "error": error.to_string() }))).await,
    };
    let reply = {
        let mut progress = played.lock();
        let (reply, received) = judge(&mut progress, &method, path, credentials, &body);
        progress.received.push(received);
        reply
    };
    played.grown.notify_all();
    response(reply).await
}

fn judge(
    progress: &mut Progress,
    method: &Method,
    path: String,
    credentials: Option<String>,
    body: &Bytes,
) -> (Reply, Received) {
    let turn = progress.received.len() + 1;
    let dialect = if method == Method::POST { Dialect::of(&path) } else { None };
    let (reply, answer) = match dialect {
        None => (dialect::beside(&path), None),
        Some(dialect) => match serde_json::from_slice::<Value>(body) {
            Err(error) => (Reply::json(400, json!({ "error": error.to_string() })), None),
            Ok(asked) if progress.script.turns == Turns::OfferTools && !dialect.offers_tools(&asked) => {
                (dialect.reply(turn, &path, &asked, &Answer::text("A small task")), None)
            }
            Ok(asked) => {
                let answer = progress.script.next(dialect);
                (dialect.reply(turn, &path, &asked, &answer), Some(answer))
            }
        },
    };
    let counted = (dialect.is_some() && reply.is_whole()).then_some(Counted::ONE);
    let received = Received {
        method: method.to_string(),
        path,
        credentials,
        dialect,
        body: String::from_utf8_lossy(body).into_owned(),
        answer,
        counted,
    };
    (reply, received)
}

async fn response(reply: Reply) -> Response {
    let (status, headers, kind, body) = match reply {
        Reply::Never => std::future::pending().await,
        Reply::Json { status, headers, body } => {
            (status, headers, "application/json", Body::from(body.to_string()))
        }
        Reply::Stream(events) => (200, Vec::new(), "text/event-stream", Body::from(stream(&events))),
        Reply::Paced(events, pause_ms) => (200, Vec::new(), "text/event-stream", paced(events, pause_ms)),
        Reply::Cut(events) => (200, Vec::new(), "text/event-stream", cut_short(&events)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    for (name, value) in headers {
        if let Ok(value) = header::HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// `events`, with a pause before each.
fn paced(events: Vec<(Option<String>, String)>, pause_ms: u64) -> Body {
    let pieces = futures_util::stream::iter(events).then(move |event| async move {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        Ok::<_, io::Error>(Bytes::from(stream(&[event])))
    });
    Body::from_stream(pieces)
}

/// The first of `events` and a broken connection.
fn cut_short(events: &[(Option<String>, String)]) -> Body {
    let begun = stream(&events[..events.len().min(1)]);
    let broken = io::Error::from(io::ErrorKind::ConnectionAborted);
    Body::from_stream(futures_util::stream::iter([Ok(Bytes::from(begun)), Err(broken)]))
}

fn stream(events: &[(Option<String>, String)]) -> String {
    let mut text = String::new();
    for (name, data) in events {
        if let Some(name) = name {
            text.push_str(&format!("event: {name}\n"));
        }
        text.push_str(&format!("data: {data}\n\n"));
    }
    text
}
