//! The operations listener: `/metrics`, `/health`, `/ready`.

use std::{
    convert::Infallible,
    io,
    net::TcpListener as StdListener,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
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
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions},
    sync::Semaphore,
    task::spawn_local,
};
use tracing::{debug, warn};

use super::{metrics::Metrics, operations::Operations};

/// A request whose head has not come within this time is given up.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Connections at a time; further ones wait.
const CONNECTIONS_MAX: usize = 64;

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
        "/metrics" => {
            let serving = operations.serving.get();
            let report = match serving {
                Some(serving) => serving.report().await.map(|report| Some((serving, report))),
                None => Some(None),
            };
            match report {
                Some(report) => {
                    let mut metrics = metrics.lock().unwrap_or_else(PoisonError::into_inner);
                    let page =
                        metrics.render(operations, report.as_ref().map(|(at, of)| (*at, of)));
                    respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page)
                }
                None => text(StatusCode::SERVICE_UNAVAILABLE, "a worker does not answer\n"),
            }
        }
        "/health" => {
            let (is_well, page) = operations.health().await;
            let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            respond(status, "application/json", format!("{page}\n"))
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
