import re
from urllib.parse import urlsplit

from django.db import migrations, models

from kit.secrets import seal, unseal

HIDDEN = "…"
LIKE_A_KEY = re.compile(r"(?=.*\d).{16,}")


def hide_keys(apps, schema_editor):
    """Addresses that hold a key are sealed; of removed servers nothing is kept but what may be shown."""
    rows = apps.get_model("workspaces", "MCPServer").objects.all()
    for row in rows.iterator(200):
        shown = shown_url(row.url)
        known = row.authorization or {}
        if known.get("resource") == row.url:  # where one signs in for it; as it is asked for from now on
            known = {**known, "resource": urlsplit(row.url)._replace(query="").geturl()}
            rows.filter(id=row.id).update(authorization=known)
        if HIDDEN in shown:
            rows.filter(id=row.id).update(url=shown, sealed_url="" if row.removed_at else seal(row.url))


def show_keys(apps, schema_editor):
    rows = apps.get_model("workspaces", "MCPServer").objects.exclude(sealed_url="")
    for row in rows.iterator(200):
        rows.filter(id=row.id).update(url=unseal(row.sealed_url))


def shown_url(url):
    parts = urlsplit(url)
    path = "/".join(HIDDEN if LIKE_A_KEY.fullmatch(step) else step for step in parts.path.split("/"))
    pairs = [pair.partition("=") for pair in parts.query.split("&")]
    hidden = [
        name + sign + HIDDEN if sign and value else (name + sign if sign else HIDDEN * bool(name))
        for name, sign, value in pairs
    ]
    return parts._replace(path=path, query="&".join(hidden)).geturl()


class Migration(migrations.Migration):
    dependencies = [
        ("workspaces", "0009_listed_at"),
    ]

    operations = [
        migrations.AddField(
            model_name="mcpserver",
            name="sealed_url",
            field=models.TextField(
                blank=True,
                default="",
                help_text="The whole address, encrypted; empty where nothing in it is hidden",
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="mcpserver",
            name="url",
            field=models.CharField(
                help_text="Its address, without the keys that may stand in it", max_length=500
            ),
        ),
        migrations.RunPython(hide_keys, show_keys),
    ]
