//! All gRPC services.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::service::NodeService;
use crate::error::RpcError;
use crate::proto;
use crate::proto::node_server::NodeServer;
use crate::server::Operations;

/// How often the health service asks the node whether it is ready.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// The routes of the gRPC surface. Spawns the task that keeps the health service up to date until `stopping`.
///
/// # Errors
/// `Descriptors` when the embedded descriptors do not decode.
pub(crate) fn router(
    operations: Arc<Operations>,
    stopping: watch::Receiver<bool>,
) -> Result<Router, RpcError> {
    let unusable =
        |error: tonic_reflection::server::Error| RpcError::Descriptors { reason: error.to_string() };
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (reporter, health) = tonic_health::server::health_reporter();
    let body_bytes = operations.limits().body_bytes;
    tokio::spawn(follow_readiness(Arc::clone(&operations), reporter, stopping));
    let node = NodeServer::new(NodeService::new(operations)).max_decoding_message_size(body_bytes);
    let routes = Routes::new(node)
        .add_service(health)
        .add_service(reflection().build_v1().map_err(unusable)?)
        .add_service(reflection().build_v1alpha().map_err(unusable)?);
    Ok(routes.into_axum_router())
}

async fn follow_readiness(
    operations: Arc<Operations>,
    reporter: HealthReporter,
    mut stopping: watch::Receiver<bool>,
) {
    let mut interval = tokio::time::interval(HEALTH_INTERVAL);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = stopped(&mut stopping) => {
                report(&reporter, ServingStatus::NotServing).await;
                return;
            }
        }
        let is_ready = operations.readiness().await.ready;
        report(&reporter, if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is the same to a task that serves it.
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

/// Reports for the server as a whole, whose name is empty, and for the service.
async fn report(reporter: &HealthReporter, status: ServingStatus) {
    reporter.set_service_status("", status).await;
    reporter.set_service_status(NodeServer::<NodeService>::NAME, status).await;
}
