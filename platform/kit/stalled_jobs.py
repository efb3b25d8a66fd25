"""Requeues the jobs of dead workers; procrastinate leaves this to its users.

A killed worker leaves its jobs `doing`. Workers write a heartbeat every 10 s; one without a heartbeat for
30 s counts as dead. Jobs therefore run at least once and must be idempotent:
`gateway/tests/test_killed_jobs.py` kills each kind before each of its statements.
"""

import structlog
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import Job, Status

SILENT_SECONDS = 30.0
MOST_ATTEMPTS = 10  # so that a job that kills its worker is not repeated forever
log = structlog.get_logger(__name__)


async def retry_stalled_jobs() -> int:
    """Returns the number of requeued jobs. Safe to run in several workers concurrently."""
    retried = 0
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=SILENT_SECONDS):
        try:
            retried += await _retry(job)
        except ConnectorException as exc:  # another worker was first
            log.info("stalled job was not retried", job=job.id, task=job.task_name, error=type(exc).__name__)
    return retried


async def _retry(job: Job) -> bool:
    if job.attempts >= MOST_ATTEMPTS:
        log.error("job gave up after too many dead workers", job=job.id, task=job.task_name)
        await app.job_manager.finish_job(job, Status.FAILED, delete_job=False)
        return False
    try:
        await app.job_manager.retry_job(job)
    except UniqueViolation:  # a periodic job whose next run is already queued
        await app.job_manager.finish_job(job, Status.FAILED, delete_job=False)
        return False
    log.warning("job of a dead worker requeued", job=job.id, task=job.task_name)
    return True
