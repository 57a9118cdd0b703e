//! OTLP over gRPC: takes what services export.
//!
//! One receiver for all who look at it. An open shop keeps spans in files ([`files`], run by
//! [`command`]); tests keep everything in memory ([`crate::harness::Collector`]).
//!
//! Guarantee: an exporter is answered at once, whatever becomes of what it sent.
//! Not guaranteed: that anything is kept. Nothing but a person may depend on a span.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use lifecycle::Stop;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{SERVICE_NAME, TraceService, TraceServiceServer},
    },
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// `shop telemetry`: the receiver of an open shop.
pub mod command;
/// Spans in a few files, the oldest deleted.
pub mod files;

/// What is asked for its health, to know that the receiver serves.
pub const HEALTH: &str = SERVICE_NAME;
/// An export of 2,048 spans has about one.
const MAX_EXPORT_BYTES: usize = 8 * 1024 * 1024;
/// Exports of one service that are in hand at a time; an exporter sends one after the other.
const MAX_EXPORTS: usize = 4;
/// After the stop: clients that keep their connection are not waited for.
const GOODBYE: Duration = Duration::from_secs(1);

/// Where exports end up. Must not block.
pub trait Sink: Send + Sync + 'static {
    /// Spans.
    fn spans(&self, export: ExportTraceServiceRequest);
    /// Measurements.
    fn metrics(&self, export: ExportMetricsServiceRequest);
    /// Log lines.
    fn logs(&self, export: ExportLogsServiceRequest);
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, sink: Arc<impl Sink>, stop: Stop) -> Result<()> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status(HEALTH, tonic_health::ServingStatus::Serving)
        .await;
    let spans = TraceServiceServer::new(Receiver(sink.clone()));
    let metrics = MetricsServiceServer::new(Receiver(sink.clone()));
    let logs = LogsServiceServer::new(Receiver(sink));
    let server = Server::builder()
        .concurrency_limit_per_connection(MAX_EXPORTS)
        .add_service(health)
        .add_service(spans.max_decoding_message_size(MAX_EXPORT_BYTES))
        .add_service(metrics.max_decoding_message_size(MAX_EXPORT_BYTES))
        .add_service(logs.max_decoding_message_size(MAX_EXPORT_BYTES))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), stop.clone().cancelled_owned());
    let goodbye = async {
        stop.cancelled().await;
        tokio::time::sleep(GOODBYE).await;
    };
    tokio::select! {
        served = server => served.context("the receiver cannot serve"),
        () = goodbye => Ok(()),
    }
}

struct Receiver<S>(Arc<S>);

#[tonic::async_trait]
impl<S: Sink> TraceService for Receiver<S> {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.spans(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl<S: Sink> MetricsService for Receiver<S> {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.metrics(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl<S: Sink> LogsService for Receiver<S> {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.0.logs(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}
