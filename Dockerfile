FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app:/app/platform \
    DJANGO_SETTINGS_MODULE=config.settings \
    DEBUG=0 \
    DATA_DIR=/data

RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --create-home switchyard

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt
COPY . .

# A throwaway key, and a database that is never opened: collecting files only needs valid settings.
RUN SECRET_KEY=only-to-collect-the-static-files-of-the-image \
    ALLOWED_HOSTS=localhost \
    DATABASE_URL=postgresql://unused/unused \
    python manage.py collectstatic --noinput --verbosity 0

USER switchyard
VOLUME /data
EXPOSE 8000

# Uses the first of ALLOWED_HOSTS: other host names are refused.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "import os, http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/healthz', headers={'Host': os.environ.get('ALLOWED_HOSTS', 'localhost').split(',')[0].strip().lstrip('.*') or 'localhost'}); raise SystemExit(c.getresponse().status != 200)"]

# A stop takes up to GRACE plus 30 seconds: `docker run --stop-timeout 90` (docs/restarts.md).
CMD ["python", "-m", "kit.serve", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--lifespan", "on", "--http", "h11", "--ws", "websockets-sansio", "--timeout-graceful-shutdown", "10", "--no-proxy-headers"]
