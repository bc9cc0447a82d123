//! The operations listener: `/metrics`, `/health`, `/ready`.

use std::{
    convert::Infallible,
    io,
    net::TcpListener as StdListener,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    sync::{Semaphore, oneshot},
    task::spawn_local,
    time::timeout,
};
use tracing::{debug, warn};

use super::metrics::Metrics;
use crate::{
    config::Sync,
    net::{listener::Listener, mailbox::Inbound},
    worker::{Report, Shared},
};

/// A worker that does not answer within this time is reported as stalled.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// A request whose head has not come within this time is given up.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Connections at a time; further ones wait.
const CONNECTIONS_MAX: usize = 64;

/// What the operations listener needs to know.
pub(crate) struct Operations {
    /// For people.
    pub(crate) node_name: String,
    /// Durability in force.
    pub(crate) sync: Sync,
    /// Whether clients may connect.
    pub(crate) is_ready: AtomicBool,
    /// Open ones.
    pub(crate) listeners: Vec<Arc<Listener>>,
    /// Everything that is counted.
    pub(crate) shared: Arc<Shared>,
}

/// Starts a thread that answers on `socket` for good.
///
/// # Errors
/// When the operating system has no thread left.
pub(crate) fn start(socket: StdListener, operations: Arc<Operations>) -> io::Result<()> {
    thread::Builder::new().name("operations".to_owned()).spawn(move || {
        if let Err(error) = serve(socket, operations) {
            warn!("the operations listener has ended: {error}");
        }
    })?;
    Ok(())
}

fn serve(socket: StdListener, operations: Arc<Operations>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let socket = TcpListener::from_std(socket)?;
        let metrics = Arc::new(Mutex::new(Metrics::new()));
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, _) = match socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    debug!("operations: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (operations, metrics) = (Arc::clone(&operations), Arc::clone(&metrics));
            spawn_local(async move {
                converse(stream, &operations, &metrics).await;
                drop(place);
            });
        }
    })
}

async fn converse(stream: TcpStream, operations: &Operations, metrics: &Mutex<Metrics>) {
    let service = service_fn(|request| async move {
        Ok::<_, Infallible>(answer(&request, operations, metrics).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!("operations: {error}");
    }
}

async fn answer(
    request: &Request<Incoming>,
    operations: &Operations,
    metrics: &Mutex<Metrics>,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("a valid header"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => match operations.report().await {
            Some(report) => {
                let mut metrics = metrics.lock().unwrap_or_else(PoisonError::into_inner);
                let page = metrics.render(operations, &report);
                respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page)
            }
            None => text(StatusCode::SERVICE_UNAVAILABLE, "a worker does not answer\n"),
        },
        "/health" => {
            let (status, state) = match operations.report().await {
                Some(_) => (StatusCode::OK, "ok"),
                None => (StatusCode::SERVICE_UNAVAILABLE, "stalled"),
            };
            let page = format!("{}\n", operations.health(state));
            respond(status, "application/json", page)
        }
        "/ready" if operations.is_ready.load(Ordering::Acquire) => text(StatusCode::OK, "ready\n"),
        "/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        _ => text(StatusCode::NOT_FOUND, "there is /metrics, /health and /ready\n"),
    }
}

fn text(status: StatusCode, page: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", page.to_owned())
}

fn respond(status: StatusCode, kind: &'static str, page: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(page)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind.parse().expect("a valid header"));
    response
}

impl Operations {
    /// The sum over all workers; `None`: one of them does not answer.
    async fn report(&self) -> Option<Report> {
        let mut answers = Vec::new();
        for mailbox in self.shared.mailboxes.iter() {
            let (question, answer) = oneshot::channel();
            mailbox.push(Inbound::Asked(question));
            answers.push(answer);
        }
        let sum = async {
            let mut sum = Report::default();
            for answer in answers {
                sum += &answer.await.ok()?;
            }
            Some(sum)
        };
        timeout(ANSWER_TIME, sum).await.ok().flatten()
    }

    /// How many retained messages there are.
    pub(crate) fn retained_messages(&self) -> usize {
        let router = self.shared.router.read().unwrap_or_else(PoisonError::into_inner);
        router.retained_messages()
    }

    fn health(&self, state: &str) -> serde_json::Value {
        let sync = match self.sync {
            Sync::Always => "always".to_owned(),
            Sync::Every(interval) => interval.to_string(),
            Sync::Never => "never".to_owned(),
        };
        json!({
            "status": state,
            "version": env!("CARGO_PKG_VERSION"),
            "node": self.node_name,
            "uptime_seconds": self.shared.clock.elapsed().as_secs(),
            "ready": self.is_ready.load(Ordering::Acquire),
            "workers": self.shared.mailboxes.len(),
            "store": {
                "sync": sync,
                "uncommitted_bytes": self.shared.engine.uncommitted_bytes(),
            },
        })
    }
}
