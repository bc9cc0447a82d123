//! The operations listener: `/metrics`, `/health`, `/ready`.

use std::{
    io,
    net::TcpListener as StdListener,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread,
};

use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::ALLOW};
use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
};
use tracing::warn;

use super::{
    http::{self, Page, respond, text},
    metrics::Metrics,
    operations::Operations,
};

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
        let pages = Pages::new(operations);
        let accept = async || socket.accept().await.map(|(stream, _)| stream);
        http::serve(accept, move |request| {
            let pages = pages.clone();
            async move { pages.answer(&request).await }
        })
        .await
    })
}

/// What may be read by whoever can reach the operations listener.
#[derive(Clone)]
pub(crate) struct Pages {
    operations: Arc<Operations>,
    metrics: Arc<Mutex<Metrics>>,
}

impl Pages {
    /// Of this broker.
    pub(crate) fn new(operations: Arc<Operations>) -> Self {
        Self { operations, metrics: Arc::new(Mutex::new(Metrics::new())) }
    }

    /// The page that is asked for, or why there is none.
    pub(crate) async fn answer(&self, request: &Request<Incoming>) -> Response<Page> {
        let operations = &*self.operations;
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
                        let mut metrics =
                            self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
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
            "/ready" if operations.is_ready.load(Ordering::Acquire) => {
                text(StatusCode::OK, "ready\n")
            }
            "/ready" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            _ => text(StatusCode::NOT_FOUND, "there is /metrics, /health and /ready\n"),
        }
    }
}
