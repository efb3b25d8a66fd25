"""Puts the jobs of dead workers back into the queue; procrastinate leaves that to its users.

A worker that is killed leaves its jobs `doing`. Workers write a heartbeat every 10 s; one that has been
silent for 30 s counts as dead. Every job is therefore run at least once, and has to be safe to repeat:
`gateway/tests/test_killed_jobs.py` kills each kind ahead of each of its statements.
"""

import structlog
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import Job, Status

SILENT_SECONDS = 30.0
MOST_ATTEMPTS = 10  # a job that kills its worker each time is not repeated for ever
log = structlog.get_logger(__name__)


async def retry_stalled_jobs() -> int:
    """How many jobs were put back. May run in several workers at the same time."""
    retried = 0
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=SILENT_SECONDS):
        try:
            retried += await _retry(job)
        except ConnectorException as exc:  # another worker was first
            log.info("stalled job was not retried", job=job.id, task=job.task_name, error=type(exc).__name__)
    return retried


async def _retry(job: Job) -> bool:
    if job.attempts >= MOST_ATTEMPTS:
        log.error("job was given up: its worker died each time", job=job.id, task=job.task_name)
        await app.job_manager.finish_job(job, Status.FAILED, delete_job=False)
        return False
    try:
        await app.job_manager.retry_job(job)
    except UniqueViolation:  # a periodic job whose next run is waiting already
        await app.job_manager.finish_job(job, Status.FAILED, delete_job=False)
        return False
    log.warning("job of a dead worker is run again", job=job.id, task=job.task_name)
    return True
