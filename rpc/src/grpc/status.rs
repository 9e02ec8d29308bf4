//! Errors over gRPC.

use prost::Message;
use tonic::metadata::{MetadataValue, errors::InvalidMetadataValue};
use tonic::{Code, Status};

use crate::api::{ApiError, ErrorCode};
use crate::proto;

/// Metadata with the code's name.
pub(crate) const ERROR_CODE: &str = "aegis-error-code";

/// Metadata with the encoded [`proto::Error`].
pub(crate) const ERROR_BIN: &str = "aegis-error-bin";

/// The gRPC code of each code.
pub(crate) const fn grpc_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::InvalidArgument
        | ErrorCode::UnknownKind
        | ErrorCode::BadSignature
        | ErrorCode::TooLarge => Code::InvalidArgument,
        ErrorCode::Expired | ErrorCode::ExpiryTooFar | ErrorCode::Conflict => Code::FailedPrecondition,
        ErrorCode::NotFound => Code::NotFound,
        ErrorCode::MethodNotAllowed => Code::Unimplemented,
        ErrorCode::Unauthenticated => Code::Unauthenticated,
        ErrorCode::ForbiddenOrigin => Code::PermissionDenied,
        ErrorCode::Busy => Code::ResourceExhausted,
        ErrorCode::NotReady | ErrorCode::Unavailable => Code::Unavailable,
        ErrorCode::OutcomeUnknown => Code::DeadlineExceeded,
        ErrorCode::SlowReader => Code::Aborted,
        ErrorCode::Pruned => Code::OutOfRange,
        ErrorCode::Internal => Code::Internal,
    }
}

/// The status of an error, with its machine-readable part as metadata.
pub(crate) fn to_status(error: ApiError) -> Status {
    let mut status = Status::new(grpc_code(error.code), error.message.clone());
    let name: Result<_, InvalidMetadataValue> = error.code.name().parse();
    if let Ok(name) = name {
        status.metadata_mut().insert(ERROR_CODE, name);
    }
    let encoding = proto::Error::from(error).encode_to_vec();
    status.metadata_mut().insert_bin(ERROR_BIN, MetadataValue::from_bytes(&encoding));
    status
}

impl From<ApiError> for proto::Error {
    fn from(error: ApiError) -> Self {
        Self {
            code: error.code.name().to_owned(),
            message: error.message,
            field: error.field,
            reject_code: error.reject_code,
            resume_from: error.resume_from.map(|height| height.0),
            retry_after_ms: error.retry_after_ms,
        }
    }
}
