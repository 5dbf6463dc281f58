
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('classifier', '0003_watching'),
        ('mlops', '0005_bell'),
    ]

    operations = [
        migrations.AlterField(
            model_name='trainingrun',
            name='trigger',
            field=models.CharField(choices=[('command', 'Command'), ('api', 'Api'), ('admin', 'Admin'), ('schedule', 'Schedule'), ('labels', 'Labels'), ('drift', 'Drift'), ('quality', 'Quality')], max_length=10),
        ),
        migrations.CreateModel(
            name='DriftSnapshot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('verdict', models.CharField(choices=[('too_few', 'Too Few'), ('steady', 'Steady'), ('drifted', 'Drifted')], max_length=10)),
                ('severity', models.CharField(choices=[('none', 'None'), ('slight', 'Slight'), ('clear', 'Clear'), ('strong', 'Strong')], default='none', max_length=10)),
                ('words', models.TextField(help_text='Which signal, how far, since when.')),
                ('advice', models.TextField(blank=True, help_text='What to do about it.')),
                ('method', models.CharField(help_text='How the windows were compared.', max_length=200)),
                ('window_size', models.PositiveIntegerField(help_text='Predictions that were looked for.')),
                ('recent_count', models.PositiveIntegerField(help_text='Predictions that were found and compared.')),
                ('reference_count', models.PositiveIntegerField(help_text='Validation tickets they were compared with.')),
                ('window_from', models.DateTimeField(blank=True, null=True)),
                ('window_to', models.DateTimeField(blank=True, null=True)),
                ('last_prediction', models.BigIntegerField(blank=True, help_text='Id of the newest prediction compared.', null=True)),
                ('reference_mean', models.FloatField(blank=True, help_text='Words of a validation ticket, mean.', null=True)),
                ('reference_std', models.FloatField(blank=True, null=True)),
                ('recent_mean', models.FloatField(blank=True, help_text='Words of a recent ticket, mean.', null=True)),
                ('recent_std', models.FloatField(blank=True, null=True)),
                ('drift_score', models.FloatField(blank=True, help_text='|recent mean - reference mean| / reference std.', null=True)),
                ('signals', models.JSONField(default=list, help_text='Each {name, value, threshold, drifted, since, words}.')),
                ('telling_words', models.JSONField(default=list, help_text='Words that tell recent tickets from the reference.')),
                ('reference', models.JSONField(default=dict, help_text='The reference in figures: histograms and shares.')),
                ('recent', models.JSONField(default=dict, help_text='The window in figures: histograms and shares.')),
                ('estimated_accuracy', models.FloatField(blank=True, help_text='From calibrated confidence, no labels.', null=True)),
                ('reference_accuracy', models.FloatField(blank=True, help_text='On the validation tickets.', null=True)),
                ('is_likely_worse', models.BooleanField(default=False, help_text='Sure of fewer answers: likely damage, not change.')),
                ('quality', models.JSONField(default=dict, help_text="What labels said of the last days' predictions.")),
                ('seconds', models.FloatField(default=0, help_text='What taking it cost.')),
                ('is_demo', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='snapshots', to='classifier.modelversion')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='RetrainDecision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('cause', models.CharField(choices=[('none', 'None'), ('schedule', 'Schedule'), ('labels', 'Labels'), ('drift', 'Drift'), ('quality', 'Quality')], max_length=10)),
                ('decision', models.CharField(choices=[('started', 'Started'), ('not_needed', 'Not Needed'), ('switched_off', 'Switched Off'), ('in_progress', 'In Progress'), ('cooling_down', 'Cooling Down'), ('enough_for_today', 'Enough For Today'), ('unchanged', 'Unchanged')], max_length=20)),
                ('words', models.TextField(help_text='Why, in words.')),
                ('figures', models.JSONField(default=dict, help_text='What it was decided on: counts, shares, limits.')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('run', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='decided_by', to='mlops.trainingrun')),
                ('snapshot', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='mlops.driftsnapshot')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='Slot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text="The schedule's name, among the schedules.", max_length=200)),
                ('task', models.CharField(max_length=200)),
                ('due_at', models.DateTimeField(db_index=True)),
                ('status', models.CharField(choices=[('sent', 'Sent'), ('not_sent', 'Not Sent'), ('running', 'Running'), ('done', 'Done'), ('failed', 'Failed')], default='sent', max_length=10)),
                ('words', models.TextField(blank=True, help_text='What came of it.')),
                ('sent_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ('-id',),
                'constraints': [models.UniqueConstraint(fields=('name', 'due_at'), name='slot_once_per_schedule'), models.CheckConstraint(condition=models.Q(models.Q(('status__in', ['done', 'failed']), _negated=True), ('ended_at__isnull', False), _connector='OR'), name='slot_ended_has_a_time')],
            },
        ),
        migrations.AddIndex(
            model_name='driftsnapshot',
            index=models.Index(fields=['version', '-id'], name='snapshot_by_version'),
        ),
        migrations.AddConstraint(
            model_name='driftsnapshot',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('verdict', 'drifted'), models.Q(('severity', 'none'), _negated=True)), models.Q(models.Q(('verdict', 'drifted'), _negated=True), ('severity', 'none')), _connector='OR'), name='drift_snapshot_severity_of_drifted'),
        ),
        migrations.AddConstraint(
            model_name='retraindecision',
            constraint=models.CheckConstraint(condition=models.Q(('words', ''), _negated=True), name='retrain_decision_has_words'),
        ),
        migrations.AddConstraint(
            model_name='retraindecision',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decision', 'started'), ('run__isnull', False)), models.Q(models.Q(('decision', 'started'), _negated=True), ('run', None)), _connector='OR'), name='retrain_decision_started_has_run'),
        ),
    ]
