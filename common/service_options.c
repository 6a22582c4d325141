#include <stdio.h>
#include <unistd.h>

#include "common/service_internal.h"

static void print_help(const struct service *service)
{
	printf("Usage: multiclaw-%s [-c FILE]... [-n]\n%s\n\n"
	       "  -c FILE  read settings (NAME=value lines); may be repeated, later ones win,\n"
	       "           and the environment wins over all of them\n"
	       "  -n       check the settings and exit\n"
	       "  -S       print a sample settings file\n"
	       "  -V       print the version\n"
	       "  -h       print this text\n",
	    service->name, service->about);
}

static void print_sample(const struct service *service)
{
	settings_print(
	    stdout, "Every program of the suite", suite_settings_rows, suite_settings_nrows);
	if (service->nsettings)
		settings_print(stdout, service->name, service->settings, service->nsettings);
}

int service_options_read(
    const struct service *service, int argc, char **argv, struct service_options *options_r)
{
	int option;

	while ((option = getopt(argc, argv, "c:nSVh")) != -1) {
		switch (option) {
		case 'c':
			if (options_r->nfiles == SERVICE_FILES_MAX)
				fatal("more than %d files of settings", SERVICE_FILES_MAX);
			options_r->files[options_r->nfiles++] = optarg;
			break;
		case 'n':
			options_r->check_only = true;
			break;
		case 'S':
			print_sample(service);
			return 0;
		case 'V':
			printf("multiclaw-%s %s\n", service->name, MULTICLAW_VERSION);
			return 0;
		case 'h':
			print_help(service);
			return 0;
		default:
			print_help(service);
			return 2;
		}
	}
	if (optind == argc)
		return -1;
	print_help(service);
	return 2;
}
