
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('classifier', '0002_labels_and_decisions'),
    ]

    operations = [
        migrations.AddField(
            model_name='apirequest',
            name='is_demo',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='modelversion',
            name='profile',
            field=models.JSONField(default=dict, help_text='What its validation tickets were like, for drift.'),
        ),
        migrations.AddField(
            model_name='ticket',
            name='text_removed_at',
            field=models.DateTimeField(blank=True, editable=False, help_text='When its text was taken away, as older than TEXT_RETENTION_DAYS.', null=True),
        ),
        migrations.AlterField(
            model_name='prediction',
            name='version',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='predictions', to='classifier.modelversion'),
        ),
        migrations.AddIndex(
            model_name='prediction',
            index=models.Index(fields=['version', '-id'], name='prediction_by_version'),
        ),
        migrations.AddIndex(
            model_name='ticket',
            index=models.Index(condition=models.Q(('text_removed_at', None)), fields=['created_at'], name='ticket_with_its_text'),
        ),
    ]
