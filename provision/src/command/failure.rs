//! Errors of operations, described with the lines of the user's file.

use proto_core::protocol::message::{Failure, Subject};

use super::load::Loaded;
use crate::ops::{self, Cause, Router, failure};
use crate::report::Failed;
use crate::session::{SessionError, printable};

/// Describes why an operation ended. `file` is the file that was pushed or compared.
pub(super) fn describe(error: impl Into<ops::Error>, file: Option<&Loaded>) -> Failed {
    let error = error.into();
    let mut failed = Failed::new(error.kind(), error.to_string()).hint(error.hint());
    failed.error.code = error.code().map(Into::into);
    failed.error.state = error.state;
    if let Cause::Session(SessionError::Failed(failure)) = &error.cause {
        let router = error.router.as_deref().map(Router::name);
        describe_failure(failure, file, router, &mut failed);
    }
    failed
}

/// A failure that a line of the file explains begins with this line, any other with the router.
fn describe_failure(
    failure: &Failure,
    file: Option<&Loaded>,
    router: Option<&str>,
    failed: &mut Failed,
) {
    let error = &mut failed.error;
    if let Some(Loaded { source, image }) = file {
        let message = failure::message(failure, Some(&image.interface));
        let place = image.place(&failure.subject);
        error.message = match (place, router) {
            (Some(place), _) => format!("{}:{}: {message}", source.name, place.line),
            (None, Some(router)) => format!("{router}: {message}"),
            (None, None) => message,
        };
        error.file = place.map(|_| source.name.clone());
        error.line = place.map(|place| place.line);
    }
    error.subject = (failure.subject != Subject::None).then(|| failure.subject.to_string());
    error.text = Some(printable(&failure.text));
    error.errno = (failure.errno != 0).then_some(failure.errno);
    error.errno_name = failure::errno_name(failure.errno);
}
